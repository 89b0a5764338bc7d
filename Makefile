# make            build/sae, build/libsae.a, build/libsae.so
# make help       all targets

CC       ?= gcc
BUILD    ?= build
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
VERSION  := $(shell sed -n 's/^.define SAE_VERSION "\(.*\)"/\1/p' include/sae.h)
SONAME   := libsae.so.0
ARCH_DIR := $(shell $(CC) -print-multiarch)
# Debian's alternatives may give the pthread build of OpenBLAS, 4 to 45 times slower beside OpenMP loops: link the
# OpenMP one by its own directory.
BLAS_DIR ?= /usr/lib/$(ARCH_DIR)/openblas-openmp

PACKAGES := jansson libpcre2-8 libutf8proc libzip libzstd zlib libxxhash
CPPFLAGS += -Iinclude -Isrc -D_GNU_SOURCE -DSAE_BUILDING $(shell pkg-config --cflags $(PACKAGES))
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-unknown-warning-option -Wno-format-truncation -Wstrict-prototypes -Wvla
CFLAGS   ?= -O3 -g
OPENMP   := -fopenmp
# In a variable of its own: CFLAGS given on the command line would switch off every += to it.
# -ffp-contract=fast: ISO C mode switches gcc's fused multiply-add off. No -ffast-math: it disables isnan and sets FTZ.
FLAGS    := -std=c17 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -ffp-contract=fast $(OPENMP) $(WARNINGS) $(WERROR) $(SANITIZE)
LDFLAGS  += $(OPENMP) $(SANITIZE) -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR)
LDLIBS   += -ldnnl -lopenblas $(shell pkg-config --libs $(PACKAGES)) -lm

LIB_SRC  := $(sort $(wildcard src/base/*.c src/io/*.c src/kernels/*.c src/kernels/ref/*.c src/kernels/cpu/*.c src/text/*.c \
            src/model/*.c src/acts/*.c src/sae/*.c src/eval/*.c src/lab/*.c src/report/*.c))
CLI_SRC  := $(sort $(wildcard src/cli/*.c))
TEST_SRC := $(sort $(wildcard tests/test_*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(BUILD)/%.o)
TESTS    := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)

all: $(BUILD)/sae $(BUILD)/libsae.a $(BUILD)/libsae.so

# Kernels that name an instruction set in their file name are compiled for it; all else runs on any x86-64.
$(BUILD)/%_avx2.o: FLAGS += -mavx2 -mfma -mf16c -mbmi2
$(BUILD)/%_avx512vnni.o: FLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c -mbmi2 -mprefer-vector-width=512
$(BUILD)/%_avx512.o: FLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2 -mprefer-vector-width=512
# Dequantisation gives the same bits on every instruction set: no fused multiply-add.
$(BUILD)/src/kernels/ref/dequant.o $(BUILD)/src/kernels/cpu/dequant_avx2.o: FLAGS += -ffp-contract=off

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libsae.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libsae.so: $(LIB_OBJ)
	$(CC) -shared -Wl,-soname,$(SONAME) $(if $(SANITIZE),,-Wl,-z,defs) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/sae: $(CLI_OBJ) $(BUILD)/libsae.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/tests/%: tests/%.c $(BUILD)/libsae.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -include tests/quick_check.h $(CFLAGS) $(FLAGS) -Wno-missing-field-initializers -MMD -MP $< $(BUILD)/libsae.a $(LDFLAGS) $(LDLIBS) $(shell pkg-config --libs check) -o $@

tests: $(TESTS)

# Its own folder, so that warnings are seen as errors whatever was built before. A compiler that warns of something new is
# one failed test, not the end of all others; what was built with warnings is built anew next time, else they would not be seen again.
check:
	+@if [ -e build-check/warned ]; then rm -rf build-check; fi; \
	if $(SUBMAKE) BUILD=build-check WERROR=-Werror all tests; then warnings=0; \
	  else warnings=1; mkdir -p build-check && touch build-check/warned; $(SUBMAKE) BUILD=build-check all tests; fi && \
	$(SUBMAKE) BUILD=build-asan $(SANITIZED) build-asan/sae tests && \
	BUILD=build-check SANITIZED_BUILD=build-asan WARNINGS=$$warnings sh tests/run.sh

JOBS      ?= $(shell nproc)
SUBMAKE   := $(MAKE) --no-print-directory -s -j$(JOBS)
SANITIZED := CFLAGS="-O1 -g -fno-omit-frame-pointer" SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

check-asan:
	+@$(SUBMAKE) BUILD=build-asan $(SANITIZED) build-asan/sae tests
	@SANITIZED_BUILD=build-asan sh tests/run.sh --sanitized

# Runs of three seconds killed N times at random moments and resumed; at least six runs of a minute, one of each input.
N    ?= 200
SEED ?= 1
kills: $(BUILD)/sae
	@BUILD=$(BUILD) KILLS=$(N) KILL_SECONDS=3 KILL_SEED=$(SEED) OMP_WAIT_POLICY=passive sh tests/test_kills.sh

kills-long: $(BUILD)/sae
	@BUILD=$(BUILD) KILLS=6 KILL_SECONDS=60 KILL_SEED=$(SEED) OMP_WAIT_POLICY=passive sh tests/test_kills.sh

# Thread sanitizer on a build without OpenMP, whose own synchronisation it does not know; oneDNN and OpenBLAS get one thread.
TSAN_TESTS ?= test_acts test_stream test_checkpoint test_training_laws
tsan:
	+@$(SUBMAKE) BUILD=build-tsan OPENMP= CFLAGS="-O1 -g -fno-omit-frame-pointer -Wno-unknown-pragmas" \
	  SANITIZE=-fsanitize=thread build-tsan/sae $(TSAN_TESTS:%=build-tsan/tests/%)
	@TSAN_OPTIONS=halt_on_error=1 OMP_NUM_THREADS=1 TEST_TIMEOUT=1800 \
	  CK_TIMEOUT_MULTIPLIER=10 BUILD=build-tsan KILLS=10 sh tests/run.sh $(TSAN_TESTS) test_acts_cli test_cli test_kills

includes:
	@sh tests/test_includes.sh

# libFuzzer on each reader, FUZZ_SECONDS each; what breaks one is left in build-fuzz/.
FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang
FUZZ_FORMATS := safetensors gguf npy jsonl zstd gzip
FUZZ_OBJ     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c src/io/*.c) src/kernels/ref/dequant.c \
                src/kernels/cpu/dequant_avx2.c)
FUZZERS      := $(FUZZ_FORMATS:%=$(BUILD)/fuzz_%)

# The reader of checkpoints, and a step of training from whatever it accepts: all of src/sae and what that needs.
FUZZ_SAE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c src/io/*.c src/kernels/*.c src/kernels/ref/*.c \
                src/kernels/cpu/*.c src/sae/*.c))

# The reader of stores: src/acts without what runs a model.
FUZZ_ACTS_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c src/io/*.c src/kernels/*.c src/kernels/ref/*.c \
                src/kernels/cpu/*.c) $(filter-out src/acts/live.c src/acts/bench.c,$(wildcard src/acts/*.c)))

fuzz:
	@command -v $(FUZZ_CC) > /dev/null || { echo 'make fuzz needs clang: apt-get install clang'; exit 3; }
	+@$(SUBMAKE) BUILD=build-fuzz CC=$(FUZZ_CC) OPENMP= CFLAGS="-O1 -g -Wno-unknown-pragmas -Wno-source-uses-openmp" \
	  SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" fuzzers
	@for f in $(FUZZ_FORMATS) checkpoint store; do mkdir -p build-fuzz/corpus_$$f; \
	  build-fuzz/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -len_control=$$([ $$f = store ] && echo 0 || echo 100) -print_final_stats=1 \
	  -artifact_prefix=build-fuzz/ build-fuzz/corpus_$$f > build-fuzz/log_$$f 2>&1 \
	  || { tail -n 40 build-fuzz/log_$$f; exit 1; }; \
	  echo "$$f: `sed -n 's/^stat::number_of_executed_units: *//p' build-fuzz/log_$$f` inputs, none broke it"; done

fuzzers: $(FUZZERS) $(BUILD)/fuzz_checkpoint $(BUILD)/fuzz_store

$(BUILD)/fuzz_checkpoint: tests/fuzz/fuzz_checkpoint.c $(FUZZ_SAE_OBJ)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(FLAGS) -fsanitize=fuzzer $< $(FUZZ_SAE_OBJ) $(LDFLAGS) $(LDLIBS) -o $@

$(BUILD)/fuzz_store: tests/fuzz/fuzz_store.c $(FUZZ_ACTS_OBJ)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(FLAGS) -fsanitize=fuzzer $< $(FUZZ_ACTS_OBJ) $(LDFLAGS) $(LDLIBS) -o $@

$(FUZZERS): $(BUILD)/fuzz_%: tests/fuzz/fuzz.c tests/io_use.h tests/io_exact.h $(FUZZ_OBJ)
	$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(FLAGS) -fno-openmp -fsanitize=fuzzer -DFORMAT='"$*"' $< $(FUZZ_OBJ) \
	  $(shell pkg-config --libs $(PACKAGES)) -lm -o $@

$(BUILD)/bench/%: bench/%.c bench/truth.h bench/paper.h $(BUILD)/libsae.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) -MMD -MP $< $(BUILD)/libsae.a $(LDFLAGS) $(LDLIBS) -o $@

# The tables of docs/planted.md: SEEDS=2 STEPS=300 PROBLEM=1 FAMILY=topk for less. planted-penalties: the coefficients that they use.
SEEDS   ?= 5
STEPS   ?= 0
PROBLEM ?= 0
PLANTED := OMP_NUM_THREADS=1 $(BUILD)/bench/planted
planted: $(BUILD)/bench/planted
	@$(PLANTED) $(SEEDS) $(STEPS) $(PROBLEM) $(FAMILY)

planted-penalties: $(BUILD)/bench/planted
	@$(PLANTED) --penalties $(PROBLEM)

# The paper's experiments on planted rows, the tables at the end of docs/planted.md: SEEDS=1 STEPS=100 for less, WIRING=p1 for another
# scaffold, PAPER="rank=4 most=16" for any other argument of bench/planted_paper.c. Fails when the default wiring misses a bound, and so does
# WIRING=p1 PAPER="standard=1 small=1", the wiring and the schedule of `sae scaffold`.
WIRING ?= p2-pca
planted-paper: $(BUILD)/bench/planted_paper
	@$(BUILD)/bench/planted_paper wiring=$(WIRING) seeds=$(if $(filter file,$(origin SEEDS)),3,$(SEEDS)) steps=$(STEPS) $(PAPER)

# Beside dictionary_learning, fetched into .scratch/peers once (3 GB). PEERS="--saelens --json": SAELens too, as JSON.
bench-peers: $(BUILD)/sae
	@command -v python3 > /dev/null || { echo 'make bench-peers needs Python: apt-get install python3 python3-venv'; exit 3; }
	@python3 tests/peers/bench_peers.py --sae $(BUILD)/sae $(PEERS)

# The loss curves of dictionary_learning's, SAELens's and sparsify's own trainers, into .scratch/goldens: see the head of the script.
goldens:
	@command -v python3 > /dev/null || { echo 'make goldens needs Python: apt-get install python3 python3-venv'; exit 3; }
	@python3 tests/peers/make_goldens.py $(GOLDENS)

FORMAT ?= clang-format-14
format:
	find src include tests $(wildcard bench) -name '*.[ch]' -exec $(FORMAT) -i {} +

man: $(BUILD)/sae
	$(BUILD)/sae --man > docs/sae.1

fetch-model:
	@sh tools/fetch_model.sh

fetch-probes:
	@sh tools/fetch_probes.sh

# 1,048,576 rows for each of the two dictionaries, from 262,144 tokens of text.
demo: all fetch-model
	$(BUILD)/sae scaffold --model smollm2 --site blocks.14.hook_resid_post --text data/text/books.train.jsonl.zst \
	  --width 4608 --k 32 --rank 6 --tokens 262144 --rows 1048576 --seed 0 --topics data/mmlu --out runs/demo --force

# Always made anew: PREFIX may have changed.
$(BUILD)/libsae.pc: .FORCE
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' 'Name: libsae' \
	  'Description: Sparse autoencoders on the activations of language models' 'Version: $(VERSION)' \
	  'Requires.private: $(PACKAGES)' 'Libs: -L$${libdir} -lsae' \
	  'Libs.private: -ldnnl -L$(BLAS_DIR) -lopenblas -fopenmp -lm' 'Cflags: -I$${includedir}' > $@

install: all $(BUILD)/libsae.pc
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig \
	  $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/sae $(DESTDIR)$(PREFIX)/bin/sae
	install -m 644 include/sae.h $(DESTDIR)$(PREFIX)/include/sae.h
	install -m 644 $(BUILD)/libsae.a $(DESTDIR)$(LIBDIR)/libsae.a
	install -m 755 $(BUILD)/libsae.so $(DESTDIR)$(LIBDIR)/libsae.so.$(VERSION)
	ln -sf libsae.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libsae.so
	install -m 644 $(BUILD)/libsae.pc $(DESTDIR)$(LIBDIR)/pkgconfig/libsae.pc
	install -m 644 docs/sae.1 $(DESTDIR)$(PREFIX)/share/man/man1/sae.1

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/sae $(DESTDIR)$(PREFIX)/include/sae.h $(DESTDIR)$(LIBDIR)/libsae.a \
	  $(DESTDIR)$(LIBDIR)/libsae.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libsae.so \
	  $(DESTDIR)$(LIBDIR)/pkgconfig/libsae.pc $(DESTDIR)$(PREFIX)/share/man/man1/sae.1

clean:
	rm -rf $(BUILD) build-check build-asan build-fuzz build-tsan

help:
	@echo 'make                the program, the static and the shared library, in $(BUILD)/'
	@echo 'make check          every test, with warnings as errors and once more under ASan and UBSan'
	@echo 'make demo           SmolLM2, layer 14: a dictionary with and one without a scaffold, and the report'
	@echo 'make fetch-model    SmolLM2-135M-Instruct (98 MB) into models/'
	@echo 'make fetch-probes   labelled sets of SAE-Probes (45 MB) into data/sae-probes/'
	@echo 'make install        into PREFIX ($(PREFIX)), below DESTDIR; make uninstall takes it away again'
	@echo 'make tests          only builds the test programs; tests/run.sh NAME runs one of them'
	@echo 'make check-asan     the tests under ASan and UBSan only'
	@echo 'make fuzz           libFuzzer on each reader for FUZZ_SECONDS ($(FUZZ_SECONDS)) each; needs clang'
	@echo 'make kills N=$(N)   trainings of 3 s, killed N times at random moments, resumed, compared; make kills-long: of 60 s, at least 6 times'
	@echo 'make tsan           thread sanitizer on what has threads and signals, without OpenMP'
	@echo 'make bench-peers    a training step beside dictionary_learning (fetches PyTorch, 3 GB); PEERS=--saelens: and SAELens'
	@echo 'make goldens        loss curves of the peers, for test_parity; GOLDENS="--seed 7 --d-in 48": other ones'
	@echo 'make planted        what is found of planted features, docs/planted.md; SEEDS=2 STEPS=300 PROBLEM=1: less of it'
	@echo 'make planted-paper  dense latents, rank, overlap and removal where they are known, docs/planted.md; SEEDS=1 STEPS=100: less, WIRING=p1'
	@echo 'make includes       only the test of the include rule'
	@echo 'make format         formats every C file'
	@echo 'make man            writes docs/sae.1 from the command tables'
	@echo 'make clean'
	@echo
	@echo 'BUILD=folder  CC=compiler  CFLAGS="-O3 -g"  WERROR=-Werror  SANITIZE=-fsanitize=address,undefined'

.FORCE:

.PHONY: .FORCE planted planted-penalties planted-paper all tests check check-asan kills kills-long tsan fuzz fuzzers bench-peers goldens includes format man fetch-model fetch-probes demo install uninstall clean help
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TESTS:=.d)
