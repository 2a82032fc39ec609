internal import Synchronization

/// Work that is due from time to time and that nobody calls for: a flush, a look at a fault record.
///
/// There is no timer that would do without whoever uses the machine: it runs in `Platform.relax()`
/// and so in every loop that waits for something.
@safe
struct PlatformPoller: BitwiseCopyable {
  let poll: PlatformCore.Poll
  let context: UnsafeMutableRawPointer
  let interval: UInt64
  /// Not before this time.
  var due: UInt64
}

extension PlatformCore {
  /// (context): what is due; in any context, must neither wait nor map.
  public typealias Poll = @convention(c) (UnsafeMutableRawPointer) -> Void

  /// Has a function called about every `interval` nanoseconds of the machine's time while somebody
  /// waits for something.
  ///
  /// For those who write mappings. From ordinary code, as is `removePoller`.
  public static func addPoller(
    _ core: UnsafeMutablePointer<PlatformCore>, every interval: UInt64,
    context: UnsafeMutableRawPointer, _ poll: @escaping Poll
  ) {
    // SAFETY: the caller keeps the core (`hold`); pollers are touched under their lock only.
    unsafe core.pointee.pollLock.withLock {
      unsafe core.pointee.pollers.append(
        PlatformPoller(poll: poll, context: context, interval: interval, due: 0))
      unsafe core.pointee.pollerCount.add(1, ordering: .relaxed)
    }
  }

  /// Ends it: the function is not running any more when this returns.
  public static func removePoller(
    _ core: UnsafeMutablePointer<PlatformCore>, context: UnsafeMutableRawPointer
  ) {
    // SAFETY: as above.
    unsafe core.pointee.pollLock.withLock {
      let count = unsafe core.pointee.pollers.count
      unsafe core.pointee.pollers.removeAll { unsafe $0.context == context }
      let left = unsafe core.pointee.pollers.count
      unsafe core.pointee.pollerCount.subtract(count - left, ordering: .relaxed)
    }
  }

  /// Does what is due.
  ///
  /// While one thread does, others pass.
  static func poll(_ core: UnsafeMutablePointer<PlatformCore>) {
    // SAFETY: the caller has the platform.
    guard unsafe core.pointee.pollerCount.load(ordering: .relaxed) > 0,
      unsafe core.pointee.pollLock.tryLock()
    else { return }
    defer { unsafe core.pointee.pollLock.unlock() }
    let now = unsafe core.pointee.operations.now(core.pointee.context)
    for index in unsafe core.pointee.pollers.indices {
      let poller = unsafe core.pointee.pollers[index]
      guard now >= poller.due else { continue }
      unsafe core.pointee.pollers[index].due = now &+ poller.interval
      unsafe poller.poll(poller.context)
    }
  }

  // MARK: Faults

  /// Whether anybody hears of the events of any device.
  public static func isObserved(_ core: UnsafeMutablePointer<PlatformCore>) -> Bool {
    // SAFETY: devices' cores live as long as the list they are in, which the lock guards.
    unsafe core.pointee.lock.withLock {
      var next = unsafe core.pointee.devices
      while let device = unsafe next {
        if unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0 { return true }
        unsafe next = device.pointee.next
      }
      return false
    }
  }

  /// Tells the observer of the device with this requester number that an access of it was refused:
  /// a `DMAEvent.Kind.fault`.
  ///
  /// For those who write mappings; nothing for a device that nobody knows or observes.
  ///
  /// - Parameters:
  ///   - address: the bus address; where the unit reports pages, the page's.
  ///   - isWrite: whether the device wanted to write.
  public static func reportFault(
    _ core: UnsafeMutablePointer<PlatformCore>, requester: UInt16, address: UInt64, isWrite: Bool
  ) {
    // SAFETY: as above; cores stay as long as the platform, which the caller keeps, and a list once
    // seen is never changed behind its first element.
    var next = unsafe core.pointee.lock.withLock { unsafe core.pointee.devices }
    while let device = unsafe next {
      unsafe next = device.pointee.next
      guard unsafe device.pointee.requester == UInt32(requester),
        unsafe device.pointee.flags & DMADeviceCore.Flags.observed != 0
      else { continue }
      var event = DMAEvent(.fault, family: .none, device: unsafe device.pointee.id)
      event.dmaAddress = address
      event.direction = isWrite ? .fromDevice : .toDevice
      event.known = [.dmaAddress, .direction]
      unsafe DMADeviceCore.deliver(device, event)
    }
  }
}
