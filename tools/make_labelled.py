#!/usr/bin/env python3
"""Converts public classification sets to the form that `sae lab` reads: a .jsonl.zst with "text" and "label" in every line.

  tools/make_labelled.py mmlu FOLDER OUT.jsonl.zst       FOLDER/{dev,test}/SUBJECT_{dev,test}.csv, with a header line
  tools/make_labelled.py europarl FILE.xz OUT.jsonl.zst  lines "LANGUAGE<tab>SENTENCE"; en, fr, de, es, nl are taken
  tools/make_labelled.py polarity POS NEG N OUT.jsonl.zst  a sentence a line; the first N that differ, of each file

Needs Python 3 and the program zstd.
"""
import csv
import json
import lzma
import pathlib
import subprocess
import sys

STEM = """abstract_algebra astronomy college_biology college_chemistry college_computer_science college_mathematics
college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics high_school_biology
high_school_chemistry high_school_computer_science high_school_mathematics high_school_physics high_school_statistics
machine_learning"""
HUMANITIES = """formal_logic high_school_european_history high_school_us_history high_school_world_history
international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law
world_religions"""
SOCIAL = """econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics
high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations
security_studies sociology us_foreign_policy"""
CATEGORIES = {"STEM": STEM.split(), "humanities": HUMANITIES.split(), "social sciences": SOCIAL.split()}


def category_of(subject):
    for category, subjects in CATEGORIES.items():
        if subject in subjects:
            return category
    return "other"


def mmlu(folder):
    for part in ("dev", "test"):
        for path in sorted(pathlib.Path(folder, part).glob(f"*_{part}.csv")):
            subject = path.name.removesuffix(f"_{part}.csv")
            with open(path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    choices = [row[f"choice{i}"] for i in range(4)]
                    yield {"text": row["question"], "choices": choices, "answer": int(row["answer"]),
                           "label": subject, "category": category_of(subject), "split": part}


def europarl(path):
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            language, sentence = line.rstrip("\n").split("\t", 1)
            if language in ("en", "fr", "de", "es", "nl"):
                yield {"text": sentence, "label": language}


def polarity(positive, negative, count):
    for path, label in ((negative, "negative"), (positive, "positive")):
        seen = set()
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                text = line.strip()
                if text in seen:
                    continue
                seen.add(text)
                yield {"text": text, "label": label}
                if len(seen) == int(count):
                    break


def main():
    makers = {"mmlu": mmlu, "europarl": europarl, "polarity": polarity}
    if len(sys.argv) < 4 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    rows = list(makers[sys.argv[1]](*sys.argv[2:-1]))
    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    subprocess.run(["zstd", "-19", "--ultra", "-22", "-q", "-f", "-o", sys.argv[-1]], input=lines.encode(), check=True)
    print(f"{sys.argv[-1]}: {len(rows)} documents, {len(set(row['label'] for row in rows))} labels")


if __name__ == "__main__":
    main()
