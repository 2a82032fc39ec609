internal import Synchronization

/// What is shared by everything that belongs to one machine, in plain memory.
///
/// Buffers and mappings point here instead of holding counted references. Devices' cores live until
/// the `Platform` object is gone and the last buffer was freed; this core lives until, besides,
/// the last mapping object has ended.
@safe
public struct PlatformCore: ~Copyable {
  public let operations: PlatformOperations
  public let context: UnsafeMutableRawPointer
  /// The object behind `context`, retained until the end.
  let owner: Unmanaged<AnyObject>
  /// The lowest limit below which page allocation can ever succeed: the end of the lowest zone.
  public let lowestLimit: UInt64
  /// The highest physical address of any memory.
  public let highestAddress: UInt64
  /// Whether devices and the CPU see memory the same way without cache maintenance.
  public let isCoherent: Bool

  /// Buffers that drivers hold, plus one while the `Platform` object lives.
  let users: Atomic<Int>
  /// Mappings' own objects, plus one while there are users.
  let holders: Atomic<Int>
  let lock: RawSpinLock
  /// All devices ever made, newest first: freed with the platform.
  var devices: UnsafeMutablePointer<DMADeviceCore>?
  var deviceCount: UInt32

  /// How many pollers there are: looked at before the lock is taken.
  let pollerCount = Atomic<Int>(0)
  let pollLock = RawSpinLock()
  /// Under their lock.
  var pollers: [PlatformPoller] = []
}

extension PlatformCore {
  /// Takes part in keeping the core alive.
  static func retain(_ core: UnsafeMutablePointer<PlatformCore>) {
    // Relaxed: whoever retains already keeps the core alive by other means.
    unsafe core.pointee.users.add(1, ordering: .relaxed)
  }

  /// Ends the machine's devices when its last user goes, and with them their mappings.
  static func release(_ core: UnsafeMutablePointer<PlatformCore>) {
    // Acquiring and releasing: the last user must see everything the others did.
    let left = unsafe core.pointee.users.subtract(1, ordering: .acquiringAndReleasing).newValue
    guard left == 0 else { return }
    var next = unsafe core.pointee.devices
    unsafe core.pointee.devices = nil
    while let device = unsafe next {
      // SAFETY: no lease can be live: its buffer would count as a user.
      unsafe next = device.pointee.next
      unsafe DMADeviceCore.destroy(device)
    }
    unsafe drop(core)
  }

  /// Keeps the core's memory and its operations valid for a mapping's own object.
  ///
  /// For those who write mappings: take it when the object is made, and `drop` it when the object
  /// ends, after it gave its pages back. It does not keep devices: a mapping that somebody still
  /// holds does not keep a machine running, and a machine that ended does not pull the memory from
  /// under a mapping.
  public static func hold(_ core: UnsafeMutablePointer<PlatformCore>) {
    // Relaxed: whoever takes it already keeps the core alive by other means.
    unsafe core.pointee.holders.add(1, ordering: .relaxed)
  }

  /// Ends a `hold`.
  public static func drop(_ core: UnsafeMutablePointer<PlatformCore>) {
    // Acquiring and releasing: as for users.
    let left = unsafe core.pointee.holders.subtract(1, ordering: .acquiringAndReleasing).newValue
    guard left == 0 else { return }
    let owner = unsafe core.pointee.owner
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
    unsafe owner.release()
  }
}
