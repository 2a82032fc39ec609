extension DMADevice {
  /// The highest address the device can reach with streaming mappings.
  ///
  /// 32 bits when new (R15).
  public var mask: DMAMask { DMAMask(trusted: unsafe core.pointee.streamingMask) }

  /// The highest address of coherent memory and pools.
  ///
  /// 32 bits when new.
  public var coherentMask: DMAMask { DMAMask(trusted: unsafe core.pointee.coherentMask) }

  /// Whether DMA can work for a device that drives `mask` (R16-R18).
  ///
  /// Changes nothing.
  public func supports(_ mask: DMAMask) -> Bool { mask.rawValue >= narrowestMask.rawValue }

  /// The narrowest mask with which this mapping reaches all of the machine's memory.
  public var requiredMask: DMAMask {
    DMAMask(trusted: unsafe core.pointee.operations.pointee.requiredMask(rawCore))
  }

  /// Whether some of the machine's memory is out of the device's reach.
  public var isAddressingLimited: Bool {
    (unsafe core.pointee.streamingLimit) < requiredMask.rawValue
  }

  /// Records what the device can drive, for streaming and for coherent memory (R22, R24).
  ///
  /// The last successful call wins (R28): set the narrowest mask last. Not while mappings are
  /// being made.
  ///
  /// - Throws: `DMAError.unsupportedMask` when the platform cannot restrict itself to it; both
  ///   masks are as they were (R25, R26), and a retry cannot help. `DMAError.deviceRemoved`.
  public func setMask(
    _ mask: DMAMask, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    try setMask(mask, site: CallSite(file, line))
  }

  /// Records what the device can drive for streaming mappings only.
  ///
  /// - Throws: as `setMask(_:file:line:)`.
  public func setStreamingMask(
    _ mask: DMAMask, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    try setStreamingMask(mask, site: CallSite(file, line))
  }

  /// Records what the device can drive for coherent memory and pools only.
  ///
  /// - Throws: as `setMask(_:file:line:)`.
  public func setCoherentMask(
    _ mask: DMAMask, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    try setCoherentMask(mask, site: CallSite(file, line))
  }

  /// The narrowest mask the mapping can serve.
  private var narrowestMask: DMAMask {
    DMAMask(trusted: unsafe core.pointee.operations.pointee.narrowestMask(rawCore))
  }

  private var rawCore: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(core) }

  private func check(
    _ mask: DMAMask, family: DMAEvent.Family, _ site: CallSite
  ) throws(DMAError) {
    guard !isRemoved else { throw .deviceRemoved }
    let required = narrowestMask
    let isSupported = mask.rawValue >= required.rawValue
    var event = DMAEvent(isSupported ? .maskSet : .maskRefused, family: family, device: id)
    event.byteCount = mask.rawValue
    event.known = .byteCount
    event.origin = .callSite(site)
    unsafe DMADeviceCore.deliver(core, event)
    guard isSupported else { throw .unsupportedMask(mask, required: required) }
  }

  func applyMasks(streaming: DMAMask, coherent: DMAMask) {
    // SAFETY: nothing is being mapped (see the type).
    let busLimit = unsafe core.pointee.busLimit
    unsafe core.pointee.streamingMask = streaming.rawValue
    unsafe core.pointee.coherentMask = coherent.rawValue
    unsafe core.pointee.streamingLimit = min(streaming.rawValue, busLimit)
    unsafe core.pointee.coherentLimit = min(coherent.rawValue, busLimit)
    // Direct: bus = physical + offset, so physical <= limit - offset. A limit below the offset
    // reaches no memory; 0 then refuses all but the byte at physical 0, which no page owner has.
    let (limit, underflow) = unsafe core.pointee.streamingLimit
      .subtractingReportingOverflow(core.pointee.directOffset)
    unsafe core.pointee.directLimit = underflow ? 0 : limit
  }
}

extension DMADevice {
  /// As `setMask(_:file:line:)`: for the C interface.
  package func setMask(_ mask: DMAMask, site: CallSite) throws(DMAError) {
    try check(mask, family: .none, site)
    applyMasks(streaming: mask, coherent: mask)
  }

  /// As `setStreamingMask(_:file:line:)`: for the C interface.
  package func setStreamingMask(_ mask: DMAMask, site: CallSite) throws(DMAError) {
    try check(mask, family: .single, site)
    applyMasks(streaming: mask, coherent: coherentMask)
  }

  /// As `setCoherentMask(_:file:line:)`: for the C interface.
  package func setCoherentMask(_ mask: DMAMask, site: CallSite) throws(DMAError) {
    try check(mask, family: .coherent, site)
    applyMasks(streaming: self.mask, coherent: mask)
  }
}
