/// Memory that CPU and device see the same way at all times: rings, mailboxes, firmware (R30-R37).
///
/// For regions of a page or more; many small ones come from a `DMAPool` (R43, R50). Whole pages of
/// a power of two, zeroed, naturally aligned for CPU and device (R51), in reach of
/// the device's coherent mask. A device may change it at any time, so it is read and written word
/// by word, each access volatile. Freed when the value goes; the device must be quiet by then.
@frozen
@safe
public struct CoherentBuffer<Element: DMARepresentable>: ~Copyable {
  @usableFromInline let core: UnsafeMutablePointer<DMADeviceCore>
  @usableFromInline let start: UInt
  /// What the device is told: the first element.
  public let address: DMAAddress
  /// How many elements there are.
  public let count: Int

  /// New memory for `count` elements.
  ///
  /// Any context; never waits (R46).
  ///
  /// - Parameter initialize: fills the zeroed elements before the device can know the address.
  /// - Throws: `DMAError.emptyRequest`, `.sizeOverflow`, `.tooLarge`, `.deviceRemoved`: a retry
  ///   cannot help. `.outOfMemory`, `.outOfAddressSpace`: it can.
  public init(
    count: Int, for device: DMADevice, file: StaticString = #fileID, line: UInt32 = #line,
    initializingWith initialize: (inout MutableSpan<Element>) -> Void = { _ in }
  ) throws(DMAError) {
    let stride = MemoryLayout<Element>.stride
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: stride)
    guard !overflow else { throw .sizeOverflow(count: count, stride: stride) }
    guard count > 0 else { throw .emptyRequest }
    let core = unsafe device.core
    let memory = try unsafe DMADeviceCore.allocateCoherent(
      core, byteCount: byteCount, site: CallSite(file, line))
    // SAFETY: zeroed memory is a valid element of any DMARepresentable; nobody else knows it yet.
    let elements = unsafe memory.cpuAddress.bindMemory(to: Element.self, capacity: count)
    var span = unsafe MutableSpan(_unsafeStart: elements, count: count)
    initialize(&span)
    unsafe self.core = core
    unsafe self.start = UInt(bitPattern: memory.cpuAddress)
    self.address = memory.address
    self.count = count
  }

  @inlinable
  deinit {
    // SAFETY: the memory keeps the platform and so the core alive.
    unsafe DMADeviceCore.endCoherent(
      core, address: address.rawValue, cpuAddress: start,
      byteCount: count * MemoryLayout<Element>.stride)
  }

  /// How many bytes there are: what was asked for.
  @inlinable
  public var byteCount: Int { count * MemoryLayout<Element>.stride }

  /// What the device is told of element `index`.
  @inlinable
  public func address(of index: Int) -> DMAAddress {
    precondition(index >= 0 && index < count, "index out of range")
    return address.advanced(by: index * MemoryLayout<Element>.stride)
  }

  /// A field of an element: one volatile access each time.
  @inlinable
  public subscript<Word: DMAWord>(index: Int, field: DMAField<Element, Word>) -> Word {
    get { Word.volatileLoad(at: cpuAddress(of: index) + UInt(field.offset)) }
    nonmutating set {
      Word.volatileStore(newValue, at: cpuAddress(of: index) + UInt(field.offset))
    }
  }

  @inlinable
  func cpuAddress(of index: Int) -> UInt {
    precondition(index >= 0 && index < count, "index out of range")
    return start + UInt(index * MemoryLayout<Element>.stride)
  }
}

extension CoherentBuffer where Element: DMAWord {
  /// An element: one volatile access each time.
  @inlinable
  public subscript(index: Int) -> Element {
    get { Element.volatileLoad(at: cpuAddress(of: index)) }
    nonmutating set { Element.volatileStore(newValue, at: cpuAddress(of: index)) }
  }
}

// SAFETY: each access is one volatile load or store; ordering is the user's, by barriers.
extension CoherentBuffer: @unchecked Sendable {}
