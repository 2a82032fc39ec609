public import CPCIDMA
internal import DMA
internal import DMAChecker
internal import PCI
internal import SimulatedMachine

/// The checker of a machine, and who is told.
@safe
final class CheckerBox: @unchecked Sendable {
  // SAFETY (Sendable): the list is behind the lock, the rest never changes.
  private let teller: FindingTeller
  private let lock = RawSpinLock()
  private var watched: [(requester: UInt32, dma: DMADevice)] = []
  private var seenIncidentCount: UInt64 = 0
  let checker: DMAChecker

  init(_ options: swiftdma_checker_options) {
    let teller = unsafe FindingTeller(options)
    var settings = DMAChecker.Options()
    settings.hashesContent = unsafe options.flags & UInt32(SWIFTDMA_CHECK_CONTENT) != 0
    settings.tracksCacheLines = unsafe options.flags & UInt32(SWIFTDMA_CHECK_NO_CACHE_LINES) == 0
    if unsafe options.memory_limit > 0 { settings.memoryLimit = unsafe options.memory_limit }
    self.teller = teller
    checker = DMAChecker(settings) { teller.deliver($0) }
  }

  func watch(_ dma: DMADevice, requester: UInt32?) {
    checker.attach(to: dma)
    if let requester { lock.withLock { watched.append((requester, dma)) } }
  }

  private func device(_ requester: UInt32) -> DMADevice? {
    lock.withLock { watched.last { $0.requester == requester }?.dma }
  }

  /// Hears of devices' accesses, where the machine sees them.
  func watchBus(_ backing: MachineBacking) {
    guard let machine = backing.simulated else { return }
    machine.setAccessObserver { [self] access in
      guard let dma = device(access.requester.packed) else { return }
      checker.reportAccess(
        dma, address: DMAAddress(rawValue: access.address), byteCount: access.byteCount,
        isWrite: access.isWrite)
    }
    machine.setIncidentObserver { [self] incident in
      guard let dma = device(incident.requester.packed) else { return }
      let reason: FaultReason =
        switch incident.reason {
        case .busMasterOff: .notBusMaster
        case .noMemory: .noMemory
        case .translationFault, .staleTranslation: .notMapped
        case .clamped, .outOfDeviceRange, .injectedFault: .other
        }
      checker.reportFault(
        dma, address: DMAAddress(rawValue: incident.address), byteCount: incident.byteCount,
        isWrite: incident.isWrite, reason: reason)
    }
  }

  /// Hears of addresses that devices could not drive, and which they cut off: the access that the
  /// driver meant fits its mapping, the one that the device made does not.
  func reportClamped(_ backing: MachineBacking) {
    guard let machine = backing.simulated else { return }
    let count = machine.incidentCount
    guard lock.withLock({ count == seenIncidentCount }) == false else { return }
    lock.withLock { seenIncidentCount = count }
    for incident in machine.takeIncidents() {
      guard case .clamped(let given) = incident.reason,
        let dma = device(incident.requester.packed)
      else { continue }
      checker.reportFault(
        dma, address: DMAAddress(rawValue: given), byteCount: incident.byteCount,
        isWrite: incident.isWrite, reason: .other)
    }
  }

  func stop(_ backing: MachineBacking) {
    backing.simulated?.setAccessObserver(nil)
    backing.simulated?.setIncidentObserver(nil)
    lock.withLock { watched = [] }
  }

  /// Memory of the kernel's is about to be freed.
  func willFree(_ address: UInt, _ byteCount: Int) {
    unsafe checker.reportFree(
      cpuAddress: address, byteCount: byteCount,
      site: CallSite(file: nil, fileByteCount: 0, line: 0))
  }

  var violationCount: UInt64 { checker.statistics.violationCount + teller.count }

  /// A rule of the C interface's own was broken.
  func report(_ rule: StaticString, _ device: String, _ site: CallSite, _ text: String) {
    teller.report(rule, device, site, text)
  }
}

// MARK: The calls

@c @implementation
public func swiftdma_checker_start(
  _ machine: UnsafeMutablePointer<swiftdma_machine>?,
  _ options: UnsafePointer<swiftdma_checker_options>?
) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else {
    return fail(Errno.noDevice)
  }
  var settings = unsafe swiftdma_checker_options()
  let status = unsafe readOptions(UnsafeRawPointer(options), &settings)
  guard status == 0 else { return status }
  guard unsafe settings.flags & ~3 == 0 else { return fail(Errno.invalid) }
  return unsafe box.startChecker(CheckerBox(settings)) ? 0 : fail(Errno.busy)
}

@c @implementation
public func swiftdma_checker_finish(_ machine: UnsafeMutablePointer<swiftdma_machine>?) -> Int64 {
  guard let box = unsafe Registry.shared.live(machine) else {
    return Int64(fail(Errno.noDevice))
  }
  guard let checker = box.checker else { return Int64(fail(Errno.invalid)) }
  box.reportLate()
  checker.checker.finish()
  return Int64(clamping: checker.violationCount)
}

@c @implementation
public func swiftdma_checker_count(_ machine: UnsafeMutablePointer<swiftdma_machine>?) -> Int64 {
  guard let box = unsafe Registry.shared.live(machine) else {
    return Int64(fail(Errno.noDevice))
  }
  guard let checker = box.checker else { return Int64(fail(Errno.invalid)) }
  box.reportLate()
  return Int64(clamping: checker.violationCount)
}

@c @implementation
public func swiftdma_guard_start(_ machine: UnsafeMutablePointer<swiftdma_machine>?) -> Int32 {
  guard let box = unsafe Registry.shared.live(machine) else { return fail(Errno.noDevice) }
  let number = box.startGuard()
  return number == 0 ? 0 : fail(number)
}

@c @implementation
public func swiftdma_misuse(_ rule: UnsafePointer<CChar>?, _ text: UnsafePointer<CChar>?) {
  guard let rule = unsafe rule, let call = unsafe text else { return }
  fail(Errno.invalid)
  let name = unsafe PCIDMA.text(rule, limit: 80)
  let what = unsafe PCIDMA.text(call, limit: 80)
  guard let machine = Registry.shared.current else { return }
  let nowhere = unsafe CallSite(file: nil, fileByteCount: 0, line: 0)
  switch name.utf8.first {
  case UInt8(ascii: "s"):
    machine.report(
      "sleep-in-atomic-context", "-", nowhere,
      "\(what) was called in an interrupt or with a lock held")
  case UInt8(ascii: "u"):
    machine.report(
      "unknown-register-cookie", "-", nowhere, "\(what) was given what ioremap never returned")
  default:
    machine.report("invalid-argument", "-", nowhere, "\(what) was given an argument that cannot be")
  }
}
