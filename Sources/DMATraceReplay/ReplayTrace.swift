package import DMA
package import DMATrace

/// The calls of a trace, in an order that makes sense, ready to be made again.
package struct ReplayTrace {
  /// One call.
  package struct Call: Sendable {
    package var kind: TraceEvent.Kind
    package var family: DMAEvent.Family
    package var direction: UInt8
    package var isFailed: Bool
    /// A list that shows only its first entries.
    package var isTruncated: Bool
    package var device: UInt32
    package var time: UInt64
    package var line: UInt64
    package var bus: UInt64
    package var physical: UInt64
    package var byteCount: UInt64
    package var entryCount: UInt32
    package var segmentCount: UInt32
    /// The list's bus addresses, lengths and physical addresses in `numbers`.
    package var list: Int
    package var busCount: Int
    package var lengthCount: Int
    package var physicalCount: Int
  }

  package private(set) var calls: [Call] = []
  package private(set) var numbers: [UInt64] = []
  package private(set) var devices: [String] = [""]
  /// Mappings that went through bounce memory, and how many of them because of `swiotlb=force`.
  package private(set) var bouncedEvents = 0
  package private(set) var forcedEvents = 0
  /// The IOMMU's own events.
  package private(set) var translationEvents = 0

  /// Reads a trace.
  ///
  /// - Throws: `TraceInputError`.
  package init(_ path: String) throws(TraceInputError) {
    var calls: [Call] = []
    var numbers: [UInt64] = []
    var bounced = 0
    var forced = 0
    var translations = 0
    let context = try TraceCheck.walk(path) { event, context in
      switch event.kind {
      case .map, .unmap, .mapScatter, .unmapScatter, .allocate, .free, .syncForCPU,
        .syncForDevice, .syncScatterForCPU, .syncScatterForDevice:
        let list = numbers.count
        unsafe numbers.append(contentsOf: context.busAddresses(event))
        unsafe numbers.append(contentsOf: context.lengths(event))
        unsafe numbers.append(contentsOf: context.physicalAddresses(event))
        calls.append(
          Call(
            kind: event.kind, family: event.family, direction: event.direction,
            isFailed: event.flags.contains(.failed),
            isTruncated: event.known.contains(.truncated), device: event.device,
            time: event.time, line: event.line, bus: event.dmaAddress,
            physical: event.physicalAddress, byteCount: event.byteCount,
            entryCount: event.entryCount, segmentCount: event.segmentCount, list: list,
            busCount: Int(event.busCount), lengthCount: Int(event.lengthCount),
            physicalCount: Int(event.physicalCount)))
      case .bounced:
        bounced += 1
        if event.flags.contains(.forced) { forced += 1 }
      case .translationAdded: translations += 1
      default: break
      }
    }
    self.calls = calls
    self.numbers = numbers
    bouncedEvents = bounced
    forcedEvents = forced
    translationEvents = translations
    if context.devices.count > 0 {
      devices += (1...context.devices.count).map { context.devices.name(UInt32($0)) }
    }
  }

  package func busAddresses(_ call: Call) -> ArraySlice<UInt64> {
    numbers[call.list..<(call.list + call.busCount)]
  }
  package func lengths(_ call: Call) -> ArraySlice<UInt64> {
    let start = call.list + call.busCount
    return numbers[start..<(start + call.lengthCount)]
  }
  package func physicalAddresses(_ call: Call) -> ArraySlice<UInt64> {
    let start = call.list + call.busCount + call.lengthCount
    return numbers[start..<(start + call.physicalCount)]
  }
}
