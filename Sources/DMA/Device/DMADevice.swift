internal import Synchronization

/// A device that does DMA: what it can address, and how its memory is mapped.
///
/// Any device, PCI or not; machines make them, drivers get them. Long-lived. Mapping, unmapping,
/// allocating and freeing may be done from any thread, in interrupts and with spin locks held,
/// except where a call says otherwise; masks, constraints and the observer are set while nothing
/// is being mapped.
@safe
public final class DMADevice {
  /// What reports call it.
  public let name: String
  /// The machine it is part of.
  public let platform: Platform
  @usableFromInline
  let core: UnsafeMutablePointer<DMADeviceCore>

  /// A device with 32-bit masks (R15).
  ///
  /// - Parameters:
  ///   - mapping: what stands between the device and memory.
  ///   - busLimit: the highest address its bus carries.
  ///   - constraints: what else its engine cannot do.
  ///   - requester: who it is on its bus, as fault records name it: bus, device and function in 8,
  ///     5 and 3 bits.
  public init(
    name: String, platform: Platform, mapping: DMAMapping, busLimit: UInt64 = .max,
    constraints: DMAConstraints = .pci, requester: UInt16? = nil
  ) {
    self.name = name
    self.platform = platform
    let platformCore = unsafe platform.core
    let books = UnsafeMutablePointer<DeviceBooks>.allocate(capacity: 1)
    unsafe books.initialize(to: DeviceBooks())
    let core = UnsafeMutablePointer<DMADeviceCore>.allocate(capacity: 1)
    // One comparison decides inline: memory below the offset would pass it where the offset wraps.
    let isInline =
      platform.isCoherent && mapping.directOffset.map { Int64(bitPattern: $0) >= 0 } == true
    // SAFETY: the platform lives while this object does; the new core joins its list under the
    // lock and is freed with it, after every lease.
    unsafe platformCore.pointee.lock.lock()
    unsafe platformCore.pointee.deviceCount += 1
    unsafe core.initialize(
      to: DMADeviceCore(
        flags: isInline ? 0 : DMADeviceCore.Flags.indirect,
        id: platformCore.pointee.deviceCount, directLimit: 0,
        directOffset: mapping.directOffset ?? 0,
        requester: requester.map { UInt32($0) } ?? .max, operations: mapping.operations,
        mappingContext: mapping.context, platform: platformCore, streamingLimit: 0,
        coherentLimit: 0, streamingMask: DMAMask.bits32.rawValue,
        coherentMask: DMAMask.bits32.rawValue, busLimit: busLimit, constraints: constraints,
        observer: nil, observerContext: nil, observerOwner: nil,
        mappingOwner: mapping.owner.map { unsafe Unmanaged.passRetained($0) }, books: books,
        next: platformCore.pointee.devices))
    unsafe platformCore.pointee.devices = core
    unsafe platformCore.pointee.lock.unlock()
    unsafe self.core = core
    applyMasks(streaming: .bits32, coherent: .bits32)
  }

  deinit { remove() }

  /// The device's number in events; unique on its machine.
  public var id: UInt32 { unsafe core.pointee.id }

  /// What mappings and machines read.
  ///
  /// Valid while a buffer or the platform lives.
  public var unsafeCore: UnsafeMutablePointer<DMADeviceCore> { unsafe core }

  /// What else than its mask limits the device's engine.
  public var constraints: DMAConstraints {
    get { unsafe core.pointee.constraints }
    set { unsafe core.pointee.constraints = newValue }
  }

  /// The largest single mapping in bytes this device can have now.
  public var maxMappingSize: Int {
    unsafe core.pointee.operations.pointee.maxMappingSize(UnsafeMutableRawPointer(core))
  }

  /// Whether `remove()` was called.
  public var isRemoved: Bool { unsafe core.pointee.flags & DMADeviceCore.Flags.removed != 0 }

  /// Ends the device: every later map and allocation throws `DMAError.deviceRemoved`.
  ///
  /// Unmaps and frees still work and give memory back. Call it after the device was stopped
  /// (bus mastering off); observers hear of it and report what is still live (R94). Idempotent.
  public func remove(file: StaticString = #fileID, line: UInt32 = #line) {
    guard !isRemoved else { return }
    var event = DMAEvent(.deviceRemoved, family: .none, device: id)
    event.origin = .callSite(CallSite(file, line))
    // SAFETY: the core outlives this object.
    unsafe DMADeviceCore.deliver(core, event)
    unsafe core.pointee.flags |= DMADeviceCore.Flags.removed
    unsafe core.pointee.operations.pointee.detach(UnsafeMutableRawPointer(core))
  }

  /// Tells observers what the device's own calls cannot know: an IOMMU's fault, say.
  package func tell(_ event: DMAEvent) {
    guard unsafe core.pointee.flags & DMADeviceCore.Flags.observed != 0 else { return }
    unsafe DMADeviceCore.deliver(core, event)
  }

  /// Sets who hears of every event of this device; nil for nobody.
  ///
  /// Set it before the first map: an observer that comes later meets unmaps of what it never saw.
  public func setObserver(_ observer: DMAObserver?) {
    let old = unsafe core.pointee.observerOwner
    // SAFETY: nothing is being mapped (see the type), so no delivery is under way.
    if let observer {
      unsafe core.pointee.observer = observer.receive
      unsafe core.pointee.observerContext = observer.context
      unsafe core.pointee.observerMap = observer.receiveMap
      unsafe core.pointee.observerUnmap = observer.receiveUnmap
      unsafe core.pointee.observerOwner = Unmanaged.passRetained(observer.owner)
      unsafe core.pointee.flags |= DMADeviceCore.Flags.observed
      unsafe DMADeviceCore.deliver(core, DMAEvent(.deviceAdded, family: .none, device: id))
    } else {
      unsafe core.pointee.flags &= ~DMADeviceCore.Flags.observed
      unsafe core.pointee.observer = nil
      unsafe core.pointee.observerContext = nil
      unsafe core.pointee.observerMap = nil
      unsafe core.pointee.observerUnmap = nil
      unsafe core.pointee.observerOwner = nil
    }
    unsafe old?.release()
  }
}

// SAFETY: the core's hot fields are written only while nothing is being mapped (documented above);
// its books are behind a lock.
extension DMADevice: @unchecked Sendable {}

extension DMADevice {
  /// The device for buses that have none of their own, ISA and EISA (R45): 24-bit masks.
  ///
  /// It reaches memory only below 16 MiB, whether the platform has such memory or not.
  public static func legacy(platform: Platform, mapping: DMAMapping) -> DMADevice {
    let device = DMADevice(name: "legacy", platform: platform, mapping: mapping)
    device.applyMasks(streaming: .bits24, coherent: .bits24)
    return device
  }
}
