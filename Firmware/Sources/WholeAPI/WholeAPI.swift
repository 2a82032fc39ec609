/// Uses every public type and member of DMA, DMAMapping and PCI, on a machine of its own in plain
/// memory.
///
/// It exists to be compiled and linked for triples without an operating system: what the library
/// asks of a port is what this program's undefined symbols say. `Firmware/link-all` finds public
/// names that do not occur in this folder. It also runs, and counts what did not go as documented.
///
/// - Returns: how many expectations failed, and the line of the first.
public func useWholeAPI() -> (failureCount: Int, firstLine: UInt32) {
  var seen = Expectations()
  useAddresses(&seen)
  useErrors(&seen)
  useWords(&seen)
  useContexts(&seen)
  useInFlightTable(&seen)
  let machine = SmallMachine()
  useDevices(&seen, machine)
  useCoherentMemory(&seen, machine)
  useStreamingMemory(&seen, machine)
  usePools(&seen, machine)
  useScatterMerging(&seen)
  useOwnMapping(&seen, machine)
  useEvents(&seen, machine)
  usePCI(&seen, machine)
  seen.expect(machine.usedPageCount == 0)
  return (seen.failureCount, seen.firstLine)
}

/// Counts what did not go as documented.
struct Expectations {
  private(set) var failureCount = 0
  private(set) var firstLine: UInt32 = 0

  mutating func expect(_ condition: Bool, line: UInt32 = #line) {
    guard !condition else { return }
    failureCount += 1
    if firstLine == 0 { firstLine = line }
  }
}
