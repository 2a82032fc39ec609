/// Memory that a device owns: a live streaming mapping together with its buffer.
///
/// It may be kept in a ring or an `InFlightTable` while the transfer runs. The way back is
/// `unmap()`. Dropping it instead is a bug: observers hear of it, and mapping and memory stay in
/// quarantine until `DMADevice.declareQuiet()`.
@frozen
@safe
public struct StreamingMapping<Direction: TransferDirection>: ~Copyable {
  @usableFromInline let core: UnsafeMutablePointer<DMADeviceCore>
  @usableFromInline let memory: BufferMemory
  /// Where in the buffer the mapped part begins.
  @usableFromInline let offset: Int
  /// What goes into the device's registers and descriptors: the first mapped byte.
  public let address: DMAAddress
  /// How many bytes are mapped.
  public let byteCount: Int

  @inlinable
  init(
    core: UnsafeMutablePointer<DMADeviceCore>, memory: BufferMemory, offset: Int,
    address: DMAAddress, byteCount: Int
  ) {
    unsafe self.core = core
    self.memory = memory
    self.offset = offset
    self.address = address
    self.byteCount = byteCount
  }

  @inlinable
  deinit {
    // SAFETY: the core outlives the buffer that this value holds.
    unsafe DMADeviceCore.quarantine(
      core, address: address.rawValue, cpuAddress: UInt(bitPattern: memory.start + offset),
      byteCount: byteCount, traits: MappingTraits(Direction.value), memory: memory)
  }

  /// Ends the mapping and gives the memory back to the CPU, with what the device wrote (R99).
  ///
  /// Call it once the device is done with the memory (R86). Any context; never waits.
  @inlinable
  @inline(__always)
  public consuming func unmap(
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> StreamingBuffer {
    // SAFETY: the core outlives the buffer that this value holds.
    if unsafe core.pointee.flags != 0 {
      unsafe unmapRegion(
        core, address: address.rawValue, cpuAddress: UInt(bitPattern: memory.start + offset),
        byteCount: byteCount, traits: MappingTraits(Direction.value), site: CallSite(file, line))
    }
    let memory = self.memory
    discard self
    return StreamingBuffer(memory)
  }
}

// SAFETY: the value owns its buffer alone; the core may be used from any thread.
extension StreamingMapping: @unchecked Sendable {}

/// What mapping a buffer came to.
///
/// A thrown error could not carry the buffer back.
@frozen
public enum MapResult<Direction: TransferDirection>: ~Copyable {
  /// The device owns the memory.
  case mapped(StreamingMapping<Direction>)
  /// Nothing was mapped: the buffer as it was, and why.
  case failed(StreamingBuffer, DMAError)

  /// The mapping, or throws why there is none and frees the buffer.
  @inlinable
  public consuming func get() throws(DMAError) -> StreamingMapping<Direction> {
    switch consume self {
    case .mapped(let mapping): return mapping
    case .failed(let buffer, let error):
      _ = consume buffer
      throw error
    }
  }
}

extension StreamingBuffer {
  /// Hands the whole buffer to the device (R84).
  ///
  /// Any context; never waits.
  ///
  /// - Returns: the mapping, or the buffer and why not: `DMAError.outOfReach`, `.deviceRemoved`
  ///   (a retry cannot help), `.outOfAddressSpace`, `.bouncePoolFull` (it can), `.tooLarge`.
  @inlinable
  @inline(__always)
  public consuming func map<Direction: TransferDirection>(
    _ direction: Direction.Type, for device: DMADevice, file: StaticString = #fileID,
    line: UInt32 = #line
  ) -> MapResult<Direction> {
    let memory = self.memory
    discard self
    return unsafe Self.map(
      memory, offset: 0, byteCount: memory.byteCount, core: device.core,
      site: CallSite(file, line))
  }

  /// Hands some bytes of the buffer to the device; the rest is out of the CPU's reach as well.
  ///
  /// Any alignment and any length of at least one byte (R42). Otherwise as
  /// `map(_:for:file:line:)`.
  ///
  /// - Returns: also `DMAError.emptyRequest` and `.outOfBounds` for ranges that are.
  @inlinable
  @inline(__always)
  public consuming func map<Direction: TransferDirection>(
    _ direction: Direction.Type, bytes: Range<Int>, for device: DMADevice,
    file: StaticString = #fileID, line: UInt32 = #line
  ) -> MapResult<Direction> {
    let memory = self.memory
    guard bytes.lowerBound >= 0, bytes.upperBound <= memory.byteCount else {
      return .failed(
        self,
        .outOfBounds(offset: bytes.lowerBound, byteCount: bytes.count, limit: memory.byteCount))
    }
    guard !bytes.isEmpty else { return .failed(self, .emptyRequest) }
    discard self
    return unsafe Self.map(
      memory, offset: bytes.lowerBound, byteCount: bytes.count, core: device.core,
      site: CallSite(file, line))
  }

  @inlinable
  @inline(__always)
  static func map<Direction: TransferDirection>(
    _ memory: BufferMemory, offset: Int, byteCount: Int,
    core: UnsafeMutablePointer<DMADeviceCore>, site: CallSite
  ) -> MapResult<Direction> {
    let physicalAddress = memory.physicalAddress &+ UInt64(truncatingIfNeeded: offset)
    // SAFETY: the caller's device keeps the core alive; real memory does not wrap around.
    if unsafe core.pointee.flags == 0
      && physicalAddress &+ UInt64(truncatingIfNeeded: byteCount &- 1) <= core.pointee.directLimit
    {
      return .mapped(
        unsafe StreamingMapping(
          core: core, memory: memory, offset: offset,
          address: DMAAddress(rawValue: physicalAddress &+ core.pointee.directOffset),
          byteCount: byteCount))
    }
    do throws(DMAError) {
      let address = try unsafe mapRegion(
        core, cpuAddress: UInt(bitPattern: memory.start + offset),
        physicalAddress: physicalAddress, byteCount: byteCount,
        traits: MappingTraits(Direction.value), site: site)
      return .mapped(
        unsafe StreamingMapping(
          core: core, memory: memory, offset: offset, address: DMAAddress(rawValue: address),
          byteCount: byteCount))
    } catch {
      return .failed(StreamingBuffer(memory), error)
    }
  }
}
