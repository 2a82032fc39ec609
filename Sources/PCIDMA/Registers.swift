internal import CPCIDMA
internal import DMA
internal import CSimulatedHost
internal import PCI

/// Cookies of `ioremap`: addresses of nothing, that stand for devices' registers.
///
/// All cookies lie in one reserved range, so what is none is told by its address alone.
@safe
final class RegisterSpace: @unchecked Sendable {
  // SAFETY (Sendable): the ranges are behind the lock.
  private struct Range {
    var start: UInt
    var byteCount: Int
    var window: RegisterWindow
    /// Where in the window it begins.
    var offset: Int
    var machine: UInt
  }

  static let shared = RegisterSpace()

  private let lock = RawSpinLock()
  private var ranges: [Range] = []
  private var next: UInt = 0
  private let base: UInt
  private static var byteCount: UInt { 1 << 36 }

  private init() { base = simulated_host_reserve(UInt64(Self.byteCount), 4096) }

  /// A cookie for part of a window; 0 when there is no room.
  func add(_ window: RegisterWindow, offset: Int, byteCount: Int, machine: MachineBox) -> UInt {
    guard base != 0 else { return 0 }
    return lock.withLock {
      // A page between two: running off one is no register of another.
      let size = (UInt(byteCount) + 4095) & ~4095
      guard next + size + 4096 <= Self.byteCount else { return 0 }
      let start = base + next + UInt(offset & 4095)
      next += size + 8192
      ranges.append(
        Range(
          start: start, byteCount: byteCount, window: window, offset: offset,
          machine: Self.key(machine)))
      return start
    }
  }

  private static func key(_ machine: MachineBox) -> UInt {
    unsafe UInt(bitPattern: Unmanaged.passUnretained(machine).toOpaque())
  }

  func remove(_ cookie: UInt) -> Bool {
    lock.withLock {
      guard let index = ranges.firstIndex(where: { $0.start == cookie }) else { return false }
      ranges.remove(at: index)
      return true
    }
  }

  /// Forgets the cookies of a machine that ends.
  func removeAll(of machine: MachineBox) {
    let key = Self.key(machine)
    lock.withLock { ranges.removeAll { $0.machine == key } }
  }

  /// The window and offset behind a cookie.
  func find(_ address: UInt, _ size: Int) -> (RegisterWindow, Int)? {
    guard address &- base < Self.byteCount else { return nil }
    return lock.withLock {
      for range in ranges where address >= range.start {
        let offset = address - range.start
        guard offset < UInt(range.byteCount), range.byteCount - Int(offset) >= size else {
          continue
        }
        let place = range.offset + Int(offset)
        return place % size == 0 ? (range.window, place) : nil
      }
      return nil
    }
  }
}

/// A register that is none was used.
private func refuse(_ address: UInt, _ what: String) {
  fail(Errno.fault)
  unsafe Registry.shared.current?.report(
    "unknown-register-cookie", "-", CallSite(file: nil, fileByteCount: 0, line: 0),
    "\(what) was given an address that is no register, or not aligned")
}

@c @implementation
public func swiftdma_register_read(_ address: UInt, _ size: UInt32) -> UInt64 {
  guard let (window, offset) = RegisterSpace.shared.find(address, Int(size)) else {
    refuse(address, "a register read")
    return .max
  }
  switch size {
  case 1: return UInt64(window.read(UInt8.self, at: offset))
  case 2: return UInt64(window.read(UInt16.self, at: offset))
  case 4: return UInt64(window.read(UInt32.self, at: offset))
  default: return window.read(UInt64.self, at: offset)
  }
}

@c @implementation
public func swiftdma_register_write(_ address: UInt, _ size: UInt32, _ value: UInt64) {
  guard let (window, offset) = RegisterSpace.shared.find(address, Int(size)) else {
    return refuse(address, "a register write")
  }
  switch size {
  case 1: window.write(UInt8(truncatingIfNeeded: value), at: offset)
  case 2: window.write(UInt16(truncatingIfNeeded: value), at: offset)
  case 4: window.write(UInt32(truncatingIfNeeded: value), at: offset)
  default: window.write(value, at: offset)
  }
}

@c @implementation
public func swiftdma_map_registers(_ start: UInt64, _ size: UInt64) -> UnsafeMutableRawPointer? {
  let devices = Registry.shared.with { $0.devices }
  // The current machine's first: two machines may use one bus address.
  let current = Registry.shared.current
  for isCurrent in [true, false] {
    for device in devices where (device.machine === current) == isCurrent {
      for window in device.windows
      where start >= window.start && size > 0
        && start - window.start < UInt64(window.window.byteCount)
        && size <= UInt64(window.window.byteCount) - (start - window.start)
      {
        return unsafe UnsafeMutableRawPointer(
          bitPattern: RegisterSpace.shared.add(
            window.window, offset: Int(start - window.start), byteCount: Int(size),
            machine: device.machine))
      }
    }
  }
  fail(Errno.invalid)
  return nil
}

@c @implementation
public func swiftdma_unmap_registers(_ cookie: UnsafeRawPointer?) -> Int32 {
  RegisterSpace.shared.remove(UInt(bitPattern: cookie)) ? 1 : 0
}
