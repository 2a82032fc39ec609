/// A mapping of a buffer that somebody else owns, for no longer than a scope.
///
/// It borrows the buffer exclusively, so the compiler refuses any CPU access while it lives. The
/// end of the scope unmaps: the device must be done by then, as in a request that is waited for.
@safe
public struct MappedBytes<Direction: TransferDirection>: ~Copyable, ~Escapable {
  let core: UnsafeMutablePointer<DMADeviceCore>
  let cpuAddress: UInt
  /// What goes into the device's registers and descriptors: the first mapped byte.
  public let address: DMAAddress
  /// How many bytes are mapped.
  public let byteCount: Int
  let site: CallSite

  /// Maps some bytes of a buffer; all of it when `bytes` is nil.
  ///
  /// - Throws: what `StreamingBuffer.map` fails with.
  @_lifetime(&buffer)
  public init(
    _ buffer: inout StreamingBuffer, bytes: Range<Int>? = nil, _ direction: Direction.Type,
    for device: DMADevice, file: StaticString = #fileID, line: UInt32 = #line
  ) throws(DMAError) {
    let memory = buffer.memory
    let bytes = bytes ?? 0..<memory.byteCount
    guard bytes.lowerBound >= 0, bytes.upperBound <= memory.byteCount else {
      throw .outOfBounds(
        offset: bytes.lowerBound, byteCount: bytes.count, limit: memory.byteCount)
    }
    guard !bytes.isEmpty else { throw .emptyRequest }
    let site = CallSite(file, line)
    let core = unsafe device.core
    let cpuAddress = unsafe UInt(bitPattern: memory.start + bytes.lowerBound)
    // SAFETY: the buffer keeps the platform and so the core alive.
    let address = try unsafe mapRegion(
      core, cpuAddress: cpuAddress,
      physicalAddress: memory.physicalAddress &+ UInt64(bytes.lowerBound),
      byteCount: bytes.count, traits: MappingTraits(Direction.value), site: site)
    unsafe self.core = core
    self.cpuAddress = cpuAddress
    self.address = DMAAddress(rawValue: address)
    self.byteCount = bytes.count
    self.site = site
  }

  deinit {
    unsafe unmapRegion(
      core, address: address.rawValue, cpuAddress: cpuAddress, byteCount: byteCount,
      traits: MappingTraits(Direction.value), site: site)
  }
}
