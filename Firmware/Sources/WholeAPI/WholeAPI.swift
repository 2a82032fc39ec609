public import DMA

/// Uses every public type and member of DMA, DMAMapping and PCI, on a machine of its own in plain
/// memory.
///
/// It exists to be compiled and linked for triples without an operating system: what the library
/// asks of a port is what this program's undefined symbols say. `Firmware/link-all` finds public
/// names that do not occur in this folder. It also runs, and counts what did not go as documented.
///
/// - Returns: how many expectations failed, and where the first did.
public func useWholeAPI() -> (failureCount: Int, first: CallSite?) {
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
  useScatterLists(&seen, machine)
  useOwnMapping(&seen, machine)
  useEvents(&seen, machine)
  usePCI(&seen, machine)
  // Everything came back.
  seen.expect(machine.usedPageCount == 0)
  // Mappings with memory of their own keep it as long as their machine.
  let translating = SmallMachine()
  useBounce(&seen, translating)
  useIOMMU(&seen, translating)
  return (seen.failureCount, seen.first)
}

/// Counts what did not go as documented.
struct Expectations {
  private(set) var failureCount = 0
  private(set) var first: CallSite?

  mutating func expect(
    _ condition: Bool, file: StaticString = #fileID, line: UInt32 = #line
  ) {
    guard !condition else { return }
    failureCount += 1
    if first == nil { first = CallSite(file, line) }
  }
}
