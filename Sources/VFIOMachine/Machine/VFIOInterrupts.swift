internal import CVFIO
internal import DMA
internal import Glibc

/// The interrupt vectors in use: an event counter each.
@safe
final class VFIOInterrupts: Sendable {
  struct Vector {
    var function: VFIOFunction
    var kind: PCIInterruptKindNumber
    var index: Int
    var event: Int32
    /// A wire was signalled and is masked until somebody asks again.
    var isMasked = false
  }

  private let lock = RawSpinLock()
  nonisolated(unsafe) private var vectors: [Vector?] = []

  /// Turns a vector on.
  ///
  /// - Returns: its handle.
  func attach(
    _ function: VFIOFunction, _ kind: PCIInterruptKindNumber, _ index: Int
  ) throws(DMAError) -> UInt64 {
    let count = vfio_host_interrupt_count(function.descriptor, kind)
    guard count >= 0 else { throw .machine(code: Int(-count)) }
    guard index >= 0, index < Int(count) else { throw .machine(code: Int(ENXIO)) }
    let event = vfio_host_event_create()
    guard event >= 0 else { throw .machine(code: Int(-event)) }
    let handle = lock.withLock { () -> Int? in
      let isTaken = unsafe vectors.contains {
        $0.map { $0.function === function && $0.kind == kind && $0.index == index } ?? false
      }
      guard !isTaken else { return nil }
      let vector = Vector(function: function, kind: kind, index: index, event: event)
      if let free = unsafe vectors.firstIndex(where: { $0 == nil }) {
        unsafe vectors[free] = vector
        return free
      }
      unsafe vectors.append(vector)
      return unsafe vectors.count - 1
    }
    guard let handle else {
      close(event)
      throw .machine(code: Int(EBUSY))
    }
    let status = program(function, kind)
    guard status >= 0 else {
      free(UInt64(handle))
      throw .machine(code: Int(-status))
    }
    return UInt64(handle)
  }

  /// Tells the kernel which vectors of a kind have events.
  ///
  /// All at once: kernels before 6.5 cannot add vectors of MSI-X.
  private func program(_ function: VFIOFunction, _ kind: PCIInterruptKindNumber) -> Int32 {
    let used = lock.withLock {
      unsafe vectors.compactMap { $0 }.filter { $0.function === function && $0.kind == kind }
    }
    vfio_host_interrupt_disable(function.descriptor, kind)
    guard let last = used.map(\.index).max() else { return 0 }
    var events = [Int32](repeating: -1, count: last + 1)
    for vector in used { events[vector.index] = vector.event }
    return unsafe vfio_host_interrupt_set(
      function.descriptor, kind, events, UInt32(events.count))
  }

  /// Turns a vector off.
  func free(_ handle: UInt64) {
    let vector = lock.withLock { () -> Vector? in
      guard unsafe handle < vectors.count else { return nil }
      defer { unsafe vectors[Int(handle)] = nil }
      return unsafe vectors[Int(handle)]
    }
    guard let vector else { return }
    _ = program(vector.function, vector.kind)
    close(vector.event)
  }

  /// Whether a vector was signalled since the last call.
  func take(_ handle: UInt64) -> Bool {
    let found = lock.withLock { () -> Vector? in
      unsafe handle < vectors.count ? vectors[Int(handle)] : nil
    }
    guard let vector = found else { return false }
    // The handler of the last one has calmed the device: let the wire through again.
    if vector.isMasked {
      setMasked(handle, false)
      vfio_host_interrupt_unmask(vector.function.descriptor, vector.kind)
    }
    guard vfio_host_event_take(vector.event) == 1 else { return false }
    // The kernel masks a wire when it is signalled.
    if vector.kind == PCIInterruptKindNumber.wire { setMasked(handle, true) }
    return true
  }

  private func setMasked(_ handle: UInt64, _ isMasked: Bool) {
    lock.withLock { unsafe vectors[Int(handle)]?.isMasked = isMasked }
  }

  /// Waits at most so long for any of the vectors.
  func wait(nanoseconds: UInt64) {
    let events = lock.withLock { unsafe vectors.compactMap { $0?.event } }
    unsafe vfio_host_wait(events, events.count, nanoseconds)
  }
}

/// How PCI numbers kinds of interrupts, which is also VFIO's order.
typealias PCIInterruptKindNumber = UInt32

extension PCIInterruptKindNumber {
  static var wire: UInt32 { 0 }
}
