internal import DMASupport

/// The entries of a list while the CPU may look at them.
@safe
public struct ScatterBytes: ~Escapable, BitwiseCopyable {
  private let entries: UnsafeMutableBufferPointer<ScatterEntry>

  @_lifetime(immortal)
  init(_ entries: UnsafeMutableBufferPointer<ScatterEntry>) { unsafe self.entries = entries }

  /// How many entries there are.
  public var count: Int { unsafe entries.count }

  /// The bytes of an entry, to read.
  @_lifetime(copy self)
  public func bytes(of index: Int) -> RawSpan {
    precondition(unsafe index >= 0 && index < entries.count, "the list has fewer entries")
    // SAFETY: the memory is the CPU's while this value lives.
    return unsafe _overrideLifetime(entries[index].bytes, copying: self)
  }
}

/// The entries of a list while the CPU may change them.
@safe
public struct MutableScatterBytes: ~Copyable, ~Escapable {
  private let entries: UnsafeMutableBufferPointer<ScatterEntry>

  @_lifetime(immortal)
  init(_ entries: UnsafeMutableBufferPointer<ScatterEntry>) { unsafe self.entries = entries }

  /// How many entries there are.
  public var count: Int { unsafe entries.count }

  /// The bytes of an entry, to change.
  @_lifetime(&self)
  public mutating func bytes(of index: Int) -> MutableRawSpan {
    precondition(unsafe index >= 0 && index < entries.count, "the list has fewer entries")
    // SAFETY: the memory is the CPU's while this value lives, which is borrowed exclusively.
    let span = unsafe entries[index].mutableBytes
    return unsafe _overrideLifetime(span, mutating: &self)
  }
}

extension ScatterMapping {
  /// Hands the whole list over.
  private func sync(forCPU: Bool, _ site: CallSite) {
    barrier(forCPU: forCPU)
    // SAFETY: the core outlives the memory that this value holds.
    guard unsafe core.pointee.flags != 0 else { return }
    if isEach {
      for index in 0..<entryCount {
        let byteCount = unsafe storage.pointee.entries[index].byteCount
        sync(entry: index, bytes: 0..<byteCount, forCPU: forCPU, site)
      }
    } else {
      unsafe DMADeviceCore.syncScatter(
        core, storage.pointee.list, segmentCount: segmentCount, traits: traits(forCPU: forCPU),
        site: site)
    }
  }

  /// Hands part of an entry over.
  private func sync(entry index: Int, bytes: Range<Int>, forCPU: Bool, _ site: CallSite) {
    precondition(index >= 0 && index < entryCount, "the list has fewer entries")
    // SAFETY: as above; the index was checked.
    let entry = unsafe storage.pointee.entries[index]
    precondition(
      bytes.lowerBound >= 0 && bytes.upperBound <= entry.byteCount,
      "a sync lies inside of its entry")
    barrier(forCPU: forCPU)
    guard unsafe core.pointee.flags != 0, !bytes.isEmpty else { return }
    unsafe DMADeviceCore.syncIndirect(
      core,
      address: storage.pointee.address(
        of: bytes.lowerBound, inEntry: index, segmentCount: segmentCount),
      cpuAddress: entry.cpuAddress + UInt(bytes.lowerBound), byteCount: bytes.count,
      traits: traits(forCPU: forCPU), site: site)
  }

  /// What the device wrote before it signalled is seen by the loads that follow, and what the CPU
  /// wrote is seen by the device before it is told.
  private func barrier(forCPU: Bool) {
    if forCPU { dma_barrier_read() } else { dma_barrier_write() }
  }

  private func traits(forCPU: Bool) -> MappingTraits {
    let traits = MappingTraits(Direction.value)
    return forCPU ? traits.forCPU : traits
  }
}

extension ScatterMapping where Direction: DeviceWrites {
  /// Lets the CPU read what the device has written, then hands the list back (R96, R98).
  public func withBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    file: StaticString = #fileID, line: UInt32 = #line,
    _ body: (ScatterBytes) throws(Failure) -> R
  ) throws(Failure) -> R {
    let site = CallSite(file, line)
    sync(forCPU: true, site)
    defer { sync(forCPU: false, site) }
    return try unsafe body(ScatterBytes(storage.pointee.list))
  }

  /// Lets the CPU read part of one entry, then hands it back; nothing else is synced.
  ///
  /// - Parameters:
  ///   - index: which entry of the list, whatever was merged.
  ///   - bytes: counted from the entry's start; all of it when nil. A range outside traps.
  public func withBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    ofEntry index: Int, _ bytes: Range<Int>? = nil, file: StaticString = #fileID,
    line: UInt32 = #line, _ body: (RawSpan) throws(Failure) -> R
  ) throws(Failure) -> R {
    precondition(index >= 0 && index < entryCount, "the list has fewer entries")
    let site = CallSite(file, line)
    // SAFETY: the index was checked.
    let entry = unsafe storage.pointee.entries[index]
    let bytes = bytes ?? 0..<entry.byteCount
    sync(entry: index, bytes: bytes, forCPU: true, site)
    defer { sync(entry: index, bytes: bytes, forCPU: false, site) }
    return try body(entry.bytes.extracting(bytes))
  }
}

extension ScatterMapping where Direction: DeviceReads {
  /// Lets the CPU change what the device will read, then hands the list back.
  ///
  /// The device must not be reading the memory meanwhile.
  public mutating func withMutableBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    file: StaticString = #fileID, line: UInt32 = #line,
    _ body: (inout MutableScatterBytes) throws(Failure) -> R
  ) throws(Failure) -> R {
    let site = CallSite(file, line)
    sync(forCPU: true, site)
    defer { sync(forCPU: false, site) }
    var bytes = unsafe MutableScatterBytes(storage.pointee.list)
    return try body(&bytes)
  }

  /// Lets the CPU change part of one entry, then hands it back; nothing else is synced.
  ///
  /// - Parameters: as in `withBytesSyncedForCPU(ofEntry:_:file:line:_:)`.
  public mutating func withMutableBytesSyncedForCPU<R: ~Copyable, Failure: Error>(
    ofEntry index: Int, _ bytes: Range<Int>? = nil, file: StaticString = #fileID,
    line: UInt32 = #line, _ body: (inout MutableRawSpan) throws(Failure) -> R
  ) throws(Failure) -> R {
    precondition(index >= 0 && index < entryCount, "the list has fewer entries")
    let site = CallSite(file, line)
    // SAFETY: the index was checked; self is borrowed exclusively.
    let entry = unsafe storage.pointee.entries[index]
    let bytes = bytes ?? 0..<entry.byteCount
    sync(entry: index, bytes: bytes, forCPU: true, site)
    defer { sync(entry: index, bytes: bytes, forCPU: false, site) }
    var span = unsafe MutableRawSpan(
      _unsafeStart: entry.pointer + bytes.lowerBound, byteCount: bytes.count)
    return try body(&span)
  }
}
