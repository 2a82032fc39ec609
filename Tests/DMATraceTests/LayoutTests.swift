import DMA
import Testing

@testable import DMATrace

/// Lines as other kernels, tools, options and hands leave them.
struct LayoutTests {
  /// One mapping and its release, as other kernels, tools and options print them.
  @Test(arguments: [
    // Line ends of other systems, and white space behind.
    "       a-1       [000] .....     1.000001: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\r\n       a-1       [000] .....     1.000002: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\r\n",
    // Nanoseconds (trace-cmd report -t, perf script --ns), and seconds of a long uptime.
    "       a-1       [000] 12345678.000000001: dma_map_phys:         0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       a-1       [000] 12345678.000000002: dma_unmap_phys:       0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // More than 999 CPUs, a long process number, a name with brackets, spaces and dashes.
    " a [1] b-2 -c: x-12345678 [1023] d.h1.   1.000001: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n a [1] b-2 -c: x-12345678 [1023] d.h1.   1.000002: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // An unknown process, a thread group, an older kernel's four flags.
    "           <...>-262     (    262) [000] b..1     1.000001: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n           <...>-262     (-------) [000] b..1     1.000002: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Integer clocks: counter, uptime, x86-tsc.
    "       a-1       [000] ..... 5501: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       a-1       [000] ..... 5502: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Fields in another order, new ones between, words of attributes nobody knows.
    "       a-1       [000] .....     1.000001: dma_map_page: 0000:00:01.0 size=16 new=7 dma_addr=a000 dir=TO_DEVICE phys_addr=1000 attrs=NEW|0x100000\n       a-1       [000] .....     1.000002: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE size=16 dma_addr=a000 flags=x attrs=\n",
    // A platform device, whose name is long and has no colons.
    "       a-1       [000] .....     1.000001: dma_map_page: fe300000.mmc-with-a-very-long-name dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       a-1       [000] .....     1.000002: dma_unmap_page: fe300000.mmc-with-a-very-long-name dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // perf script with processes and threads, and with a process of seven digits.
    "       a    1/1       [000]     1.000001:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n               a 1234567 [000]     1.000002:             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Raw fields, byte arrays.
    "       a-1       [000] .....     1.000001: dma_map_sg: [FAILED TO PARSE] device=0000:00:01.0 full_nents=1 full_ents=1 truncated=0 phys_addrs=ARRAY[00, 10, 00, 00, 00, 00, 00, 00] dma_addrs=ARRAY[00, a0, 00, 00, 00, 00, 00, 00] lengths=ARRAY[10, 00, 00, 00] dir=1 attrs=0x0\n       a-1       [000] .....     1.000002: dma_unmap_sg: [FAILED TO PARSE] device=0000:00:01.0 addrs=ARRAY[00, 10, 00, 00, 00, 00, 00, 00] dir=1 attrs=0x0\n",
    // The first kernels' lists, without counts.
    "       a-1       [000] .....     1.000001: dma_map_sg: 0000:00:01.0 dir=TO_DEVICE dma_addrs={0xa000} sizes={0x10} phys_addrs={0x1000} attrs=\n       a-1       [000] .....     1.000002: dma_unmap_sg: 0000:00:01.0 dir=TO_DEVICE phys_addrs={0x1000} attrs=\n",
    // perf script without CPUs, with the period, with nothing but event and fields.
    "               a  1234     1.000001:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       [0] 1.0: a  1234/1235     1.000002:             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    "               a  1234 [000]     1.000001:          1               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n               a  1234 [000]     1.000002:          1             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    "               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Colours of grep, less and others, and a link.
    "\u{1b}[32m           a-1    \u{1b}[0m   [000] \u{1b}[1;31m.....\u{1b}[m     1.000001: \u{1b}[01;31m\u{1b}[Kdma_map_page\u{1b}[m\u{1b}[K: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\u{1b}[0m\n       a-1       [000] .....     1.000002: \u{1b}]8;;http://x\u{7}dma_unmap_page\u{1b}]8;;\u{1b}\\: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // What an oops dumps into the kernel's log.
    "[   77.123456]        a-1         0..... 1000001us : dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n<6>[   77.123457]        a-1         0..... 1000002us : dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Latency format with a clock that does not count nanoseconds.
    "       a-1         0.....    17: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       a-1         0.....    18: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
    // Calls that the function tracer wrote between.
    "       a-1       [000] .....     1.000001: dma_map_page_attrs <-probe\n       a-1       [000] .....     1.000001: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=\n       a-1       [000] .....     1.000002: dma_unmap_page_attrs <-remove\n       a-1       [000] .....     1.000002: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 attrs=\n",
  ])
  func `a mapping and its release are read in every layout`(_ text: String) throws {
    // Twice: the second time the layout is known.
    for (text, count) in [(text, 1), (text + text, 2)] {
      let (report, context) = try TraceCheck.check(bytes: Array(text.utf8))
      #expect(report.findings.isEmpty)
      #expect(report.trace.badLines == 0)
      #expect(report.unknown.total == 0)
      let device = try #require(report.devices.first)
      #expect(device.state.liveCount == 0)
      #expect(device.state.calls.1 + device.state.allocations == count)
      #expect(device.name.hasPrefix("0000:00:01.0") || device.name.hasPrefix("fe300000"))
      #expect(context.devices.count == 1)
    }
  }

  @Test func `devices whose names have spaces are told apart`() throws {
    let text = """
                 a-1       [000] .....     1.000000: add_device_to_group: IOMMU: groupID=2 device=Fixed MDIO bus.0
                 a-1       [000] .....     1.000001: dma_map_page: Fixed MDIO bus.0 dir=FROM_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=
                 a-1       [000] .....     1.000002: dma_map_page: Fixed MDIO bus.1 dir=FROM_DEVICE dma_addr=a000 size=16 phys_addr=2000 attrs=
                 a-1       [000] .....     1.000003: dma_unmap_page: Fixed MDIO bus.0 dir=FROM_DEVICE dma_addr=a000 size=17 attrs=
      """
    let (report, context) = try TraceCheck.check(bytes: Array(text.utf8))
    #expect(report.findings.map(\.rule) == [.sizeDiffers])
    #expect(report.devices.map(\.name) == ["Fixed MDIO bus.0", "Fixed MDIO bus.1"])
    #expect(context.devices.count == 2)
  }

  @Test func `without CPUs one stamp orders nothing but a task`() throws {
    func perf(_ task: Int, _ event: String, _ size: Int) -> String {
      let physical = event == "dma_map_page" ? " phys_addr=1000" : ""
      return "               a  \(task)     1.000001:               dma:\(event): 0000:00:01.0 "
        + "dir=FROM_DEVICE dma_addr=a000 size=\(size)\(physical) attrs=\n"
    }
    func rules(_ text: String) throws -> [Rule] {
      try TraceCheck.check(bytes: Array(text.utf8)).report.findings.map(\.rule)
    }
    let whole = perf(7, "dma_map_page", 16) + perf(7, "dma_unmap_page", 16)
    // Another task's, and the idle task's on whichever CPU, may have come the other way round.
    for task in [8, 0] {
      #expect(
        try rules(whole + perf(task, "dma_unmap_page", 32) + perf(9, "dma_map_page", 32)) == [])
    }
    #expect(
      try rules(whole + perf(7, "dma_map_page", 16) + perf(7, "dma_unmap_page", 32))
        == [.sizeDiffers])
  }

  @Test func `perf's records of a loss end what was known`() throws {
    let lines = [
      "               a  1234 [000]     1.000001:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=16 phys_addr=1000 attrs=",
      "         swapper     0 [001]     1.000002: PERF_RECORD_LOST lost 12",
      "               a  1234 [000]     1.000003:             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=a000 size=17 attrs=",
    ]
    for (kept, rules) in [(lines, [Rule]()), ([lines[0], lines[2]], [.sizeDiffers])] {
      let (report, _) = try TraceCheck.check(bytes: Array(kept.joined(separator: "\n").utf8))
      #expect(report.findings.map(\.rule) == rules)
      #expect(report.trace.badLines == 0)
      #expect(report.trace.lossMarks == (kept.count == 3 ? 1 : 0))
    }
  }
}
