"""Measures how cost grows and draws it: called by growth.

Each point is the median of 3 runs; instructions are counted by callgrind at two numbers of operations.
To set a million mappings up under callgrind takes some minutes.
"""
import concurrent.futures, os, re, subprocess, sys, tempfile

program, folder, *rest = sys.argv[1:]
FAMILIES = {
    "live": ("things that are live", [
        ("pool", "pool: free + allocate"), ("iova", "bus addresses: give + take"),
        ("direct", "direct: unmap + map"), ("iommu", "IOMMU: unmap + map"),
        ("checker", "direct, checked: unmap + map")],
        [1, 100, 10_000, 100_000, 1_000_000], "{kind}-live-{n}"),
    "devices": ("devices, 10,000 mappings live", [("direct", "direct: unmap + map")],
        [1, 10, 1000], "{kind}-devices-{n}"),
    "machine": ("GiB of memory", [("machine", "allocate a page, map, unmap, free it")],
        [1, 4, 16, 64, 256, 512], "{kind}-gib-{n}"),
}


def nanoseconds(name, operations):
    runs = []
    for _ in range(3):
        done = subprocess.run([program, name, str(operations)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        runs.append(float(done.stdout.split()[0]))
    return sorted(runs)[1]


def instructions(name):
    def total(operations):
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name,
             str(operations)], capture_output=True, text=True)
        return int(re.search(r"Collected : (\d+)", done.stderr).group(1))
    few = 20_000
    return (total(3 * few) - total(few)) / (2 * few)


def draw(path, title, x_label, sizes, curves, unit):
    """An SVG with a logarithmic x axis and one polyline for each curve."""
    import math
    width, height, left, bottom, top = 640, 320, 60, 50, 40
    most = max(max(values) for _, values in curves) * 1.1
    x = lambda v: left + (width - left - 190) * (
        math.log10(v / sizes[0]) / math.log10(sizes[-1] / sizes[0]))
    y = lambda v: height - bottom - (height - bottom - top) * v / most
    colours = ["#1b6ca8", "#c8553d", "#3a7d44", "#7d4e9e", "#b8860b"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{left}" y="20" font-size="14">{title}</text>']
    for step in range(5):
        value = most * step / 4
        out.append(f'<line x1="{left}" x2="{width - 190}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f}</text>')
    for size in sizes:
        out.append(f'<text x="{x(size):.1f}" y="{height - bottom + 18}" text-anchor="middle">'
                   f'{size:,}</text>')
    out.append(f'<text x="{(left + width - 190) / 2}" y="{height - 10}" text-anchor="middle">'
               f'{x_label}</text>')
    out.append(f'<text x="{left}" y="{top - 6}" fill="#555">{unit}</text>')
    for index, (name, values) in enumerate(curves):
        colour = colours[index % len(colours)]
        points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(sizes, values))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for s, v in zip(sizes, values):
            out.append(f'<circle cx="{x(s):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{width - 180}" y="{top + 16 * index + 10}" fill="{colour}">{name}</text>')
    out.append("</svg>")
    open(path, "w").write("\n".join(out) + "\n")


COUNTED = (10_000, 1_000_000)
counting = concurrent.futures.ThreadPoolExecutor(2)
shown = []
for family, (x_label, kinds, sizes, pattern) in FAMILIES.items():
    times, counts = [], []
    for kind, label in kinds:
        names = [pattern.format(kind=kind, n=n) for n in sizes]
        # Machines do the same at any size, slowly: fewer of them.
        operations = 200_000 if family == "machine" else 1_000_000
        times.append((label, [nanoseconds(name, operations) for name in names]))
        counts.append((label, [
            counting.submit(instructions, n) if s in COUNTED and family == "live" else None
            for n, s in zip(names, sizes)]))
    shown.append((x_label, sizes, times, counts))
    draw(f"{folder}/growth-{family}.svg", f"Nanoseconds for one operation", x_label, sizes, times, "ns")

for x_label, sizes, times, counts in shown:
    print(f"{x_label:44}" + "".join(f"{n:>12,}" for n in sizes))
    for (label, values), (_, counted) in zip(times, counts):
        print(f"  {label:42}" + "".join(f"{v:9.1f} ns" for v in values), flush=True)
        if any(counted):
            print(f"  {'  instructions':42}" + "".join(
                f"{c.result():12.0f}" if c else " " * 12 for c in counted), flush=True)

if rest and rest[0] == "--traces":
    tool, here = os.environ.get("DMATOOL", "dmatool"), os.path.dirname(os.path.abspath(__file__))
    sizes, times = [int(n) for n in rest[1:]], []
    for millions in sizes:
        with tempfile.TemporaryDirectory() as place:
            trace = place + "/trace.txt"
            # 132.7 bytes an event.
            subprocess.run([sys.executable, here + "/Peers/trace/gen.py", trace,
                            str(round(millions * 132.7))], check=True, stderr=subprocess.DEVNULL)
            done = subprocess.run([tool, "count", trace, "--repeat", "3"], capture_output=True, text=True)
            events = int(re.search(r"(\d+) events", done.stdout).group(1))
            best = float(re.search(r"best ([0-9.]+) ms", done.stdout).group(1))
            times.append(best * 1e6 / events)
            print(f"trace of {events:,} events: {times[-1]:.1f} ns for one", flush=True)
    if len(sizes) > 1:
        draw(f"{folder}/growth-traces.svg", "dmatool count: nanoseconds for one event",
             "million events", sizes, [("leaks in a trace", times)], "ns")
