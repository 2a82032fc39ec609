import BareMetal
import DMA
import DMAChecker

/// Prints findings on the serial port as they come, and keeps what checks ask for.
///
/// Printing uses no heap: a handler runs in whatever context broke the rule.
final class FindingLog {
  private(set) var count = 0
  private var rule: CheckRule?
  private var device = ""
  /// Where the mapping was made that the last finding is about.
  private var line: UInt32 = 0
  /// Heap calls of all that was printed.
  private(set) var heapCallCount: UInt64 = 0

  /// A checker with little memory, whose findings come here.
  func makeChecker() -> DMAChecker {
    var options = DMAChecker.Options()
    options.memoryLimit = 256 << 10
    options.freedCountMax = 64
    options.hashesContent = true
    return DMAChecker(options) { self.note($0) }
  }

  private func note(_ finding: Finding) {
    let before = Heap.allocationCount
    Self.write(finding)
    heapCallCount += Heap.allocationCount - before
    count += 1
    rule = finding.rule
    device = finding.device
    line = (finding.lastFreed ?? finding.mapping)?.site?.line ?? 0
  }

  /// Fails a check unless there was exactly this finding.
  func requireOnly(
    _ expected: CheckRule, device name: String, madeAt expectedLine: UInt32
  ) throws(CheckFailure) {
    try require(
      count == 1 && rule == expected && line == expectedLine && sameText(device, name),
      "\(count) findings, the last of a mapping made at line \(line)")
    try require(heapCallCount == 0, "\(heapCallCount) heap calls for printing it")
  }

  /// Rule, device, call and mapping, each with its place in the source.
  private static func write(_ finding: Finding) {
    Console.write("FINDING " as StaticString)
    Console.write(finding.rule.name)
    Console.write(": device " as StaticString)
    Console.write(finding.device)
    Console.write(": " as StaticString)
    Console.write(finding.rule.summary)
    if let site = finding.call?.site { write("\n        call at " as StaticString, site) }
    if let access = finding.access {
      Console.write(access.isWrite ? "\n        write" : "\n        read" as StaticString)
      Console.write(" of " as StaticString)
      Console.write(access.byteCount)
      Console.write(" bytes at " as StaticString)
      Console.write(hex: access.address)
    }
    if let mapping = finding.lastFreed ?? finding.mapping {
      Console.write("\n        mapping " as StaticString)
      Console.write(hex: mapping.address)
      Console.write(", " as StaticString)
      Console.write(mapping.byteCount)
      Console.write(" bytes, " as StaticString)
      Console.write(mapping.direction?.description ?? mapping.family.description)
      if let site = mapping.site { write(", made at " as StaticString, site) }
      if let site = mapping.endSite { write(", ended at " as StaticString, site) }
    }
    Console.write("\n" as StaticString)
  }

  private static func write(_ words: StaticString, _ site: CallSite) {
    Console.write(words)
    // SAFETY: the name is a constant of the program.
    unsafe Console.write(site.fileName)
    Console.write(":" as StaticString)
    Console.write(UInt64(site.line))
  }
}

/// Whether two texts have the same bytes; `==` of strings needs Unicode's tables.
private func sameText(_ first: String, _ second: String) -> Bool {
  first.utf8.elementsEqual(second.utf8)
}
