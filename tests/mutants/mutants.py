"""One rule is broken at a time: of the client, of what it learns, of what has to be as in Postfix; a test has to notice.

  tests/mutants/mutants.py [--here] [NAME-PART ...]   builds and tests each mutant; says which test notices; survivors are a failure
  tests/mutants/mutants.py --check                    each rule is still found in its file, exactly once, and the test that has to notice is there (part of every test run)

Works on a copy below build/mutants, so that a run that is stopped leaves nothing behind; --here breaks this tree and its build/dev, and
puts each file back.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rules import RULES  # noqa: E402


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_cases():
    """All that the sources declare, with the name of their file."""
    found = []
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for file in filter(lambda file: file.endswith((".cpp", ".hpp")), files):
            for pieces in re.findall(r'(?:TEST_CASE|ON_EVERY_STORE)(?:_FIXTURE\(\s*[\w:]+,|\()\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', read(os.path.join(folder, file))):
                text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', pieces))
                found.append((os.path.join(folder, file), text.replace('\\"', '"')))
    return found


def names_a_test(tests, cases):
    """Whether there is what a rule says has to notice. doctest's filters: * and ?, several with commas between them, without case."""
    fits = lambda text, pattern: fnmatch.fnmatchcase(text.lower(), re.sub(r"([\[\]])", r"[\1]", pattern.lower()))
    if tests.startswith("journey "):
        for words in tests.removeprefix("journey ").split():
            file, *rest = words.split(".")
            text = read(os.path.join(ROOT, f"tests/journeys/{file}.py"))
            if not all(re.search(rf"(?m)^ *(?:class|def) {re.escape(word)}\b", text) for word in rest):
                return False
        return True
    if tests.startswith("in "):
        return all(any(fits(file, pattern) for file, _ in cases) for pattern in tests.removeprefix("in ").split(","))
    return not tests or tests.startswith("run ") or all(any(fits(text, pattern) for _, text in cases) for pattern in re.split(r"(?<!\\),", tests))


def check():
    bad = 0
    names = set()
    cases = test_cases()
    for name, target, path, before, after, tests in RULES:
        count = read(os.path.join(ROOT, path)).count(before)
        if count != 1 or before == after or name in names:
            print(f"mutants: {name}: {path} holds its rule {count} times")
            bad = 1
        if not names_a_test(tests, cases):
            print(f"mutants: {name}: no test is called {tests}")
            bad = 1
        names.add(name)
    print(f"mutants: {len(RULES)} rules to break")
    return bad


def copy_of_tree():
    source = os.path.join(ROOT, "build/mutants/source")
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, files):
        old, new = os.path.join(ROOT, name), os.path.join(source, name)
        if not os.path.isfile(old):
            continue
        os.makedirs(os.path.dirname(new), exist_ok=True)
        if not os.path.exists(new) or open(old, "rb").read() != open(new, "rb").read():
            shutil.copy(old, new)
    build = os.path.join(source, "build/dev")
    if not os.path.exists(os.path.join(build, "build.ninja")):
        subprocess.run(["cmake", "--preset", "dev"], cwd=source, check=True, stdout=subprocess.DEVNULL)
    return source


def noticed_by(tree, target, tests):
    """The first test case that fails; "" where none does; None where it does not even compile."""
    jobs = os.environ.get("JOBS", "2")
    made = subprocess.run(["ninja", "-C", "build/dev", "-j", jobs, "--quiet", *target.split()], cwd=tree, capture_output=True, text=True)
    if made.returncode != 0:
        print(next((line for line in made.stdout.splitlines() if " error: " in line), made.stdout[-2000:]))
        return None
    if tests.startswith("run "):
        return noticed_beside(tree, tests[4:])
    if tests.startswith("journey "):
        return noticed_underway(tree, tests[8:])
    try:
        ran = subprocess.run([f"build/dev/tests/{target}", "-aa=1"] + ([f"-sf={tests[3:]}" if tests.startswith("in ") else f"-tc={tests}"] if tests else []), cwd=tree, capture_output=True,
                             text=True, errors="replace", timeout=600)
    except subprocess.TimeoutExpired:
        return "it does not end"
    if "test cases: 0 " in " ".join(ran.stdout.split()):
        raise SystemExit(f"mutants: no test is called {tests}")
    if ran.returncode == 0:
        return ""
    case = f"exit {ran.returncode}"
    for line in ran.stdout.splitlines():
        if line.startswith("TEST CASE:"):
            case = line[len("TEST CASE:"):].strip()
        elif "ERROR: " in line:
            break
    return case


def noticed_beside(tree, command):
    """The first difference from Postfix that a comparison of tests/compat finds."""
    ran = subprocess.run([sys.executable, *f"tests/compat/{command}".split()], cwd=tree, capture_output=True, text=True, errors="replace", timeout=900)
    if ran.returncode == 77:
        raise SystemExit(f"mutants: {command}: {ran.stdout.strip()}")
    if ran.returncode == 0:
        return ""
    return next((line for line in ran.stdout.splitlines() if line.startswith("DIFFERS")), f"exit {ran.returncode}: {ran.stdout[-300:]}{ran.stderr[-300:]}")[:160]


def noticed_underway(tree, names):
    """The first test of a journey that fails; it waits for less long than where nothing is broken."""
    ran = subprocess.run([sys.executable, "-m", "unittest", "--failfast", *names.split()], cwd=os.path.join(tree, "tests/journeys"), capture_output=True, text=True, errors="replace", timeout=900,
                         env={**os.environ, "POSTHORN_BIN": os.path.join(tree, "build/dev/bin"), "POSTHORN_PATIENCE": "60", "PYTHONDONTWRITEBYTECODE": "1"})
    if "skipped=" in ran.stderr:
        raise SystemExit(f"mutants: {names}: {ran.stderr.strip()[-300:]}")
    if ran.returncode == 0:
        return ""
    return next((line for line in ran.stderr.splitlines() if line.startswith(("FAIL:", "ERROR:"))), f"exit {ran.returncode}: {ran.stderr[-300:]}")[:160]


def run(tree, wanted):
    survivors = []
    rules = [rule for rule in RULES if not wanted or any(part in rule[0] for part in wanted)]
    # Unbroken, all must pass: else nothing is shown.
    for target, tests in sorted({(rule[1], rule[5]) for rule in rules}):
        if (failed := noticed_by(tree, target, tests)) != "":
            raise SystemExit(f"mutants: without any, {target} fails: {failed}")
    for name, target, path, before, after, tests in rules:
        file = os.path.join(tree, path)
        text = read(file)
        try:
            write(file, text.replace(before, after))
            test = noticed_by(tree, target, tests)
        finally:
            write(file, text)
        word = "NOT BUILT" if test is None else "noticed " if test else "SURVIVED"
        print(f"{word} {name}" + (f" by: {test}" if test else ""), flush=True)
        if not test:
            survivors.append(name)
    print(f"mutants: {len(rules)} rules broken, {len(rules) - len(survivors)} noticed" + (f"; not: {', '.join(survivors)}" if survivors else ""))
    return 1 if survivors else 0


def main():
    words = sys.argv[1:]
    if "--check" in words:
        return check()
    here = "--here" in words
    if check():
        return 1
    return run(ROOT if here else copy_of_tree(), [word for word in words if word != "--here"])


sys.exit(main())
