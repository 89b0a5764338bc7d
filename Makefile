# make            build/sae, build/libsae.a, build/libsae.so
# make check      everything that must pass (tests, format, warnings, include rule)
# make help       all targets

CC       ?= gcc
BUILD    ?= build
PREFIX   ?= /usr/local
ARCH_DIR := $(shell $(CC) -print-multiarch)
# Debian's alternatives may give the pthread build of OpenBLAS, 4 to 45 times slower beside OpenMP loops: link the
# OpenMP one by its own directory.
BLAS_DIR ?= /usr/lib/$(ARCH_DIR)/openblas-openmp

PACKAGES := jansson libpcre2-8 libutf8proc libzip libzstd zlib libxxhash
CPPFLAGS += -Iinclude -Isrc -D_GNU_SOURCE -DSAE_BUILDING $(shell pkg-config --cflags $(PACKAGES))
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-format-truncation -Wstrict-prototypes -Wvla
CFLAGS   ?= -O3 -g
# -ffp-contract=fast: ISO C mode switches gcc's fused multiply-add off. No -ffast-math: it disables isnan and sets FTZ.
CFLAGS   += -std=c17 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math -ffp-contract=fast -fopenmp $(WARNINGS) $(WERROR) $(SANITIZE)
LDFLAGS  += -fopenmp $(SANITIZE) -L$(BLAS_DIR) -Wl,-rpath,$(BLAS_DIR)
LDLIBS   += -ldnnl -lopenblas $(shell pkg-config --libs $(PACKAGES)) -lm

LIB_SRC  := $(sort $(wildcard src/base/*.c src/io/*.c src/kernels/*.c src/kernels/ref/*.c src/kernels/cpu/*.c src/text/*.c \
            src/model/*.c src/acts/*.c src/sae/*.c src/eval/*.c src/lab/*.c src/report/*.c))
CLI_SRC  := $(sort $(wildcard src/cli/*.c))
TEST_SRC := $(sort $(wildcard tests/test_*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(BUILD)/%.o)
TESTS    := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)

all: $(BUILD)/sae $(BUILD)/libsae.so

# Kernels that name an instruction set in their file name are compiled for it; all else runs on any x86-64.
$(BUILD)/%_avx2.o: CFLAGS += -mavx2 -mfma -mf16c -mbmi2
$(BUILD)/%_avx512.o: CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mbmi2

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libsae.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/libsae.so: $(LIB_OBJ)
	$(CC) -shared -Wl,-soname,libsae.so.0 $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/sae: $(CLI_OBJ) $(BUILD)/libsae.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/tests/%: tests/%.c $(BUILD)/libsae.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-missing-field-initializers -MMD -MP $< $(BUILD)/libsae.a $(LDFLAGS) $(LDLIBS) $(shell pkg-config --libs check) -o $@

tests: $(TESTS)

clean:
	rm -rf $(BUILD)

.PHONY: all tests clean
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TESTS:=.d)
