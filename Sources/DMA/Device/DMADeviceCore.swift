/// What a device is, in plain memory: everything a map or unmap reads.
///
/// Leases point here. Mappings get it as the first argument of every call and read the limits
/// they must honour; only `DMADevice` changes it.
@safe
public struct DMADeviceCore {
  /// Zero means: direct mapping, coherent, nobody watching, not removed.
  ///
  /// See `Flags`.
  @usableFromInline var flags: UInt32
  /// The device's number in events.
  public let id: UInt32
  /// Direct mapping: the last physical address whose bus address the streaming mask reaches.
  @usableFromInline var directLimit: UInt64
  /// Direct mapping: bus address minus physical address.
  public let directOffset: UInt64
  /// Who the device is on its bus, or all ones when it has no number there.
  let requester: UInt32
  /// The functions of the device's mapping.
  public let operations: UnsafePointer<MappingOperations>
  /// What those functions work on.
  public let mappingContext: UnsafeMutableRawPointer?
  /// The machine.
  public let platform: UnsafeMutablePointer<PlatformCore>
  /// The highest bus address for streaming mappings: mask and bus limit, whichever is lower.
  public internal(set) var streamingLimit: UInt64
  /// The highest bus address for coherent memory.
  public internal(set) var coherentLimit: UInt64
  /// The device's own streaming mask.
  public internal(set) var streamingMask: UInt64
  /// The device's own coherent mask.
  public internal(set) var coherentMask: UInt64
  /// The highest address the bus above the device carries.
  public let busLimit: UInt64
  /// What else the device's engine cannot do.
  public internal(set) var constraints: DMAConstraints

  var observer: DMAObserver.Receive?
  var observerContext: UnsafeMutableRawPointer?
  var observerMap: DMAObserver.ReceiveMap? = nil
  var observerUnmap: DMAObserver.ReceiveUnmap? = nil
  var observerOwner: Unmanaged<AnyObject>?
  let mappingOwner: Unmanaged<AnyObject>?
  let books: UnsafeMutablePointer<DeviceBooks>
  var next: UnsafeMutablePointer<DMADeviceCore>?
}

extension DMADeviceCore {
  /// The bits of `flags`.
  @usableFromInline
  enum Flags {
    /// Someone hears of every event.
    @inlinable static var observed: UInt32 { 1 }
    /// The device is gone.
    static var removed: UInt32 { 2 }
    /// Maps and unmaps go through the table: a mapping other than direct, or cache maintenance.
    @usableFromInline static var indirect: UInt32 { 4 }
    /// Taking a block from a pool needs more done than that.
    @inlinable static var notPlain: UInt32 { 3 }
  }

  static func destroy(_ core: UnsafeMutablePointer<DMADeviceCore>) {
    // SAFETY: called once, by the platform's end, when no lease, buffer or device object is left.
    unsafe core.pointee.mappingOwner?.release()
    unsafe core.pointee.observerOwner?.release()
    unsafe core.pointee.books.deinitialize(count: 1)
    unsafe core.pointee.books.deallocate()
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
  }

  /// Delivers an event where it lies: a copy of its many words costs more than the call.
  @inline(__always)
  static func deliver(_ core: UnsafeMutablePointer<DMADeviceCore>, _ event: inout DMAEvent) {
    guard let receive = unsafe core.pointee.observer,
      let context = unsafe core.pointee.observerContext
    else { return }
    // SAFETY: the owner of the context is held by the core; the event outlives the call.
    unsafe withUnsafeMutablePointer(to: &event) { pointer in
      unsafe receive(context, UnsafeRawPointer(pointer))
    }
  }

  /// Delivers an event.
  ///
  /// Called only when `flags` says that somebody listens.
  static func deliver(_ core: UnsafeMutablePointer<DMADeviceCore>, _ event: DMAEvent) {
    guard let receive = unsafe core.pointee.observer,
      let context = unsafe core.pointee.observerContext
    else { return }
    // SAFETY: the owner of the context is held by the core; the event outlives the call.
    unsafe withUnsafePointer(to: event) { pointer in
      unsafe receive(context, UnsafeRawPointer(pointer))
    }
  }
}
