internal import CVFIOUserHost
internal import Glibc

/// A file descriptor that is closed when its owner goes.
struct Descriptor: ~Copyable {
  let number: Int32

  init(_ number: Int32) { self.number = number }

  deinit { close(number) }
}

/// Descriptors that came with a message; closed when nobody has them any more.
final class DescriptorList: Sendable {
  let numbers: [Int32]

  init(_ numbers: [Int32]) { self.numbers = numbers }

  deinit { for number in numbers { close(number) } }
}

/// A part of a device's registers that is memory of this process.
final class MappedArea: Sendable {
  let address: UInt
  /// Where it begins in its region.
  let offset: UInt64
  let byteCount: UInt64

  /// Nil when it cannot be mapped.
  init?(
    _ descriptor: Int32, fileOffset: UInt64, offset: UInt64, byteCount: UInt64, isWritable: Bool
  ) {
    guard byteCount > 0 else { return nil }
    address = vfio_user_host_map(descriptor, fileOffset, byteCount, isWritable ? 1 : 0)
    guard address != 0 else { return nil }
    self.offset = offset
    self.byteCount = byteCount
  }

  deinit { vfio_user_host_unmap(address, byteCount) }

  /// The CPU address of a register that lies wholly in this area.
  func address(of register: UInt64, _ count: Int) -> UInt? {
    guard register >= offset, register - offset < byteCount,
      UInt64(count) <= byteCount - (register - offset)
    else { return nil }
    return address + UInt(register - offset)
  }
}

/// The host's clock that only goes forward.
enum MonotonicClock {
  static var nanoseconds: UInt64 {
    var time = timespec()
    // SAFETY: fills the value it is given; this clock cannot fail.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// Lets this thread pause.
func pauseThread(_ nanoseconds: UInt64) {
  var time = timespec(tv_sec: 0, tv_nsec: Int(min(nanoseconds, 999_999_999)))
  // Cut short by a signal: as good.
  unsafe nanosleep(&time, nil)
}
