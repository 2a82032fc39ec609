"""Runs C, dmatool and Python on one trace in turns and prints medians and bests.

usage: compare.py DMATOOL PARSE_LIMIT LEAK_PY TRACE RUNS

Inside: what each program measures itself around its own work, the file already mapped into memory
(processor time for one thread, elapsed time for two, as the C program does). Whole: user and system
time of the process for one thread, elapsed time for two.
"""
import os, re, resource, subprocess, sys, time

tool, peer, script, trace, runs = *sys.argv[1:5], int(sys.argv[5])
size = os.path.getsize(trace)


def run(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    elapsed = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode not in (0, 1):
        sys.exit(f"{command}: {done.stderr}")
    return done.stdout, used, elapsed


def inside(output):
    return float(re.search(r"median ([0-9.]+) ms", output).group(1)) / 1000


rows = {name: [] for name in (
    "C, inside", "count, inside", "count on two threads, inside", "C, whole", "count, whole",
    "count on two threads, whole", "check, whole", "check on two threads, whole")}
for _ in range(max(runs, 9)):
    output, used, elapsed = run([peer, trace, "3"])
    rows["C, inside"].append(inside(output))
    rows["count, inside"].append(inside(run([tool, "count", trace, "--repeat", "3"])[0]))
    rows["count on two threads, inside"].append(
        inside(run([tool, "count", trace, "--repeat", "3", "--threads", "2"])[0]))
    output, used, elapsed = run([peer, trace, "1"])
    rows["C, whole"].append(used)
    expected = re.search(r"(\d+) events, (\d+) left, (\d+) odd", output).groups()
    output, used, _ = run([tool, "count", trace])
    rows["count, whole"].append(used)
    found = re.search(r"(\d+) events, (\d+) left, (\d+) odd", output).groups()
    if found != expected:
        sys.exit(f"different results: {found}, {expected}")
    rows["count on two threads, whole"].append(run([tool, "count", trace, "--threads", "2"])[2])
    rows["check, whole"].append(run([tool, "check", trace, "--threads", "1"])[1])
    rows["check on two threads, whole"].append(run([tool, "check", trace, "--threads", "2"])[2])
python = [run([sys.executable, script, trace])[1] for _ in range(3)]

print(f"{size / 1e6:.0f} MB, {expected[0]} events, {max(runs, 9)} runs in turns")
print(f"{'':34}{'median':>10}{'best':>10}{'MB/s':>8}{'of C':>7}{'best/C':>8}")
for name, times in rows.items():
    base = sorted(rows["C, inside" if "inside" in name else "C, whole"])
    times.sort()
    median, best = times[len(times) // 2], times[0]
    print(
        f"count: {name:27}{median * 1000:8.0f} ms{best * 1000:7.0f} ms{size / 1e6 / median:8.0f}"
        f"{base[len(base) // 2] / median:7.2f}{base[0] / best:8.2f}")
python.sort()
check = rows["check, whole"][len(rows["check, whole"]) // 2]
count = rows["count, whole"][len(rows["count, whole"]) // 2]
print(
    f"count: Python, whole              {python[1] * 1000:8.0f} ms: "
    f"{python[1] / count:.0f} times count, {python[1] / check:.0f} times check")
