internal import CPCIDMA
internal import DMA
internal import DMAMapping
internal import GuardPages
internal import PCI
internal import SimulatedMachine

/// A machine as C programs have it: its devices, its memory, its checker.
@safe
final class MachineBox: @unchecked Sendable {
  // SAFETY (Sendable): what changes after creation is behind the lock.
  let backing: MachineBacking
  /// What new devices get: guarded once guard mode is on.
  private(set) var mapping: DMAMapping
  /// Nil where nothing translates.
  let domain: IOMMUDomain?
  let expectsErrorTests: Bool
  /// What a null device is: 24 bits (R45).
  private(set) var legacy: DeviceBox?

  private let lock = RawSpinLock()
  private var devices: [DeviceBox] = []
  private var pools: [UnsafeMutablePointer<pci_pool>] = unsafe []
  private var models: [UnsafeMutablePointer<swiftdma_model>] = unsafe []
  private(set) var checker: CheckerBox?
  private var guardPages: GuardPages?
  let memory: KernelMemory

  var platform: Platform { backing.platform }

  init(
    backing: MachineBacking, mapping: DMAMapping, domain: IOMMUDomain?, isDirect: Bool,
    expectsErrorTests: Bool
  ) {
    self.backing = backing
    self.mapping = mapping
    self.domain = domain
    self.expectsErrorTests = expectsErrorTests
    memory = KernelMemory(backing, isDirect: isDirect)
    legacy = unsafe DeviceBox(
      machine: self, dma: DMADevice.legacy(platform: backing.platform, mapping: mapping),
      pci: nil, slot: nil, simulated: nil)
  }

  // MARK: What there is

  func add(_ device: DeviceBox) {
    lock.withLock { devices.append(device) }
    checker?.watch(device.dma, requester: device.pci?.address.packed)
  }

  func remove(_ device: DeviceBox) { lock.withLock { devices.removeAll { $0 === device } } }

  func add(_ pool: UnsafeMutablePointer<pci_pool>) { lock.withLock { unsafe pools.append(pool) } }

  func remove(_ pool: UnsafeMutablePointer<pci_pool>) {
    lock.withLock { unsafe pools.removeAll { unsafe $0 == pool } }
  }

  func add(_ model: UnsafeMutablePointer<swiftdma_model>) {
    lock.withLock { unsafe models.append(model) }
  }

  var allDevices: [DeviceBox] { lock.withLock { devices } }

  /// Ends everything that programs hold by address.
  func end() {
    while let slot = unsafe lock.withLock({ unsafe pools.popLast() }) { unsafe PoolBox.end(slot) }
    for device in allDevices { device.end() }
    while let model = unsafe lock.withLock({ unsafe models.popLast() }) {
      unsafe ModelDevice.end(model)
    }
    reportLate()
    memory.end()
    checker?.stop(backing)
    checker = nil
    guardPages = nil
    legacy?.dma.setObserver(nil)
    // The last of the circle: the device holds the machine.
    legacy = nil
  }

  // MARK: Time

  /// One moment: devices work; interrupts, timers and tasklets run where they may.
  func relax() {
    platform.relax()
    reportLate()
    guard swiftdma_may_interrupt() != 0 else { return }
    for device in allDevices { device.deliverInterrupt() }
    swiftdma_run_tasklets()
    // 100 ticks a second.
    swiftdma_run_timers(UInt(platform.nanoseconds / 10_000_000))
  }

  // MARK: Findings

  func startChecker(_ checker: CheckerBox) -> Bool {
    let isFirst = lock.withLock {
      guard self.checker == nil else { return false }
      self.checker = checker
      return true
    }
    guard isFirst else { return false }
    if let legacy { checker.watch(legacy.dma, requester: nil) }
    for device in allDevices { checker.watch(device.dma, requester: device.pci?.address.packed) }
    checker.watchBus(backing)
    return true
  }

  /// Closes to the CPU what devices own, from the first device on.
  ///
  /// - Returns: 0 or a number of errno's.
  func startGuard() -> Int32 {
    guard let addresses = backing.guardableAddresses else { return Errno.notSupported }
    guard let checker else { return Errno.invalid }
    guard guardPages == nil, allDevices.isEmpty, (legacy?.dma.liveClassicCount ?? 0) == 0 else {
      return Errno.busy
    }
    do throws(DMAError) {
      let made = try GuardPages(addresses: addresses, checker: checker.checker)
      guardPages = made
      mapping = made.guarding(mapping)
    } catch { return error.number }
    legacy?.dma.setObserver(nil)
    let replaced = unsafe DeviceBox(
      machine: self, dma: DMADevice.legacy(platform: platform, mapping: mapping), pci: nil,
      slot: nil, simulated: nil)
    checker.watch(replaced.dma, requester: nil)
    legacy = replaced
    return 0
  }

  /// Tells of what was noted since the last time: touches, and addresses that devices cut off.
  func reportLate() {
    guardPages?.report()
    checker?.reportClamped(backing)
  }

  /// A rule of this library's own was broken.
  func report(_ rule: StaticString, _ device: String, _ site: CallSite, _ text: String) {
    checker?.report(rule, device, site, text)
  }
}
