internal import DMASupport

extension StreamingMapping {
  @usableFromInline
  func sync(_ bytes: Range<Int>, forCPU: Bool, _ site: CallSite) {
    precondition(
      bytes.lowerBound >= 0 && bytes.upperBound <= byteCount,
      "a sync lies inside of its mapping")
    // What the device wrote before it signalled must be seen by the loads that follow, and what
    // the CPU wrote must be seen by the device before it is told.
    if forCPU { dma_barrier_read() } else { dma_barrier_write() }
    // SAFETY: the core outlives the buffer that this value holds; the range was checked.
    guard unsafe core.pointee.flags != 0, !bytes.isEmpty else { return }
    var traits = MappingTraits(Direction.value)
    if forCPU { traits = traits.forCPU }
    unsafe DMADeviceCore.syncIndirect(
      core, address: address.advanced(by: bytes.lowerBound).rawValue,
      cpuAddress: UInt(bitPattern: memory.start + offset + bytes.lowerBound),
      byteCount: bytes.count, traits: traits, site: site)
  }
}

extension StreamingMapping where Direction: DeviceWrites {
  /// Lets the CPU read what the device has written, then hands the memory back (R96, R101).
  ///
  /// - Parameter bytes: the part to look at, counted from the mapping's start; all of it when
  ///   nil. A range outside of the mapping traps.
  public func withBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    _ bytes: Range<Int>? = nil, file: StaticString = #fileID, line: UInt32 = #line,
    _ body: (RawSpan) throws(Failure) -> R
  ) throws(Failure) -> R {
    let site = CallSite(file, line)
    let bytes = bytes ?? 0..<byteCount
    sync(bytes, forCPU: true, site)
    defer { sync(bytes, forCPU: false, site) }
    // SAFETY: the range was checked by sync; the span does not outlive the call.
    let span = unsafe RawSpan(
      _unsafeStart: memory.start + offset + bytes.lowerBound, byteCount: bytes.count)
    return try body(span)
  }
}

extension StreamingMapping where Direction: DeviceReads {
  /// Lets the CPU change what the device will read, then hands the memory back.
  ///
  /// The device must not be reading the memory meanwhile.
  ///
  /// - Parameter bytes: the part to change; all of it when nil. A range outside of the mapping
  ///   traps.
  public mutating func withMutableBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    _ bytes: Range<Int>? = nil, file: StaticString = #fileID, line: UInt32 = #line,
    _ body: (inout MutableRawSpan) throws(Failure) -> R
  ) throws(Failure) -> R {
    let site = CallSite(file, line)
    let bytes = bytes ?? 0..<byteCount
    sync(bytes, forCPU: true, site)
    defer { sync(bytes, forCPU: false, site) }
    // SAFETY: as above; self is borrowed exclusively.
    var span = unsafe MutableRawSpan(
      _unsafeStart: memory.start + offset + bytes.lowerBound, byteCount: bytes.count)
    return try body(&span)
  }
}
