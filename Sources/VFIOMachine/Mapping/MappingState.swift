internal import CVFIO
internal import DMA
internal import DMAMapping
internal import Glibc
internal import Synchronization

/// A container's bus addresses in plain memory: what mapping and unmapping work on.
@safe
struct MappingState: ~Copyable {
  let container: VFIOContainer
  let descriptor: Int32
  let space: IOVASpace
  /// One past the last usable bus page.
  let lastAddress: UInt64
  let forkCount: UInt32
  let isClosed = Atomic<Bool>(false)
  /// Coherent memory for atomic context; nil where there is none.
  var reserve: CoherentReserve? = nil
  /// Bytes that are mapped now, and how many mappings of the kernel's that is.
  let mappedByteCount = Atomic<Int>(0)
  let entryCount = Atomic<Int>(0)
  /// What the last refusal was: errno in the high 32 bits is 0 for none; and its bytes.
  let refusalCode = Atomic<Int>(0)
  let refusalByteCount = Atomic<Int>(0)

  init(_ container: VFIOContainer, _ plan: AddressPlan) {
    self.container = container
    descriptor = container.descriptor
    // 48 bits are more than any process has memory for.
    lastAddress = min(plan.ranges.last?.upperBound ?? 0, 1 << 48 - 1)
    space = IOVASpace(last: lastAddress)
    for gap in plan.gaps(last: lastAddress) { space.reserve(gap) }
    forkCount = vfio_host_fork_count()
  }
}

extension MappingState {
  /// Makes a run of memory reachable at given bus addresses.
  static func map(
    _ state: UnsafeMutablePointer<MappingState>, _ cpuAddress: UInt, _ busAddress: UInt64,
    _ byteCount: UInt64, _ permissions: UInt32
  ) -> Int32 {
    let status = unsafe vfio_host_map(
      state.pointee.descriptor, cpuAddress, busAddress, byteCount, permissions)
    if status >= 0 {
      unsafe state.pointee.mappedByteCount.add(Int(byteCount), ordering: .relaxed)
      unsafe state.pointee.entryCount.add(1, ordering: .relaxed)
    } else {
      unsafe state.pointee.refusalCode.store(Int(-status), ordering: .relaxed)
      unsafe state.pointee.refusalByteCount.store(Int(byteCount), ordering: .relaxed)
    }
    return status
  }

  /// Makes bus addresses unreachable; false when the kernel did not.
  static func unmap(
    _ state: UnsafeMutablePointer<MappingState>, _ busAddress: UInt64, _ byteCount: UInt64,
    mapped: UInt64, entries: Int
  ) -> Bool {
    // Everything was unmapped when the machine was closed.
    if unsafe state.pointee.isClosed.load(ordering: .acquiring) { return true }
    let count = unsafe vfio_host_unmap(state.pointee.descriptor, busAddress, byteCount)
    guard count >= 0, UInt64(count) == mapped else { return false }
    unsafe state.pointee.mappedByteCount.subtract(Int(count), ordering: .relaxed)
    unsafe state.pointee.entryCount.subtract(entries, ordering: .relaxed)
    return true
  }

  /// Whether mapping is refused altogether.
  static func refusal(
    _ state: UnsafeMutablePointer<MappingState>, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> DMAStatus? {
    if unsafe state.pointee.isClosed.load(ordering: .relaxed) { return .deviceRemoved }
    guard unsafe vfio_host_fork_count() == state.pointee.forkCount else {
      // SAFETY: the caller gives room for three words.
      unsafe numbers[0] = UInt64(ECHILD)
      return .machine
    }
    return nil
  }

  /// A kernel's refusal as a status, so that callers can tell what passes from what does not.
  static func status(
    _ code: Int32, _ byteCount: Int, _ limit: UInt64, _ numbers: UnsafeMutablePointer<UInt64>
  ) -> DMAStatus {
    // SAFETY: the caller gives room for three words.
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    switch code {
    // The kernel's count of mappings is used up: unmapping helps.
    case ENOSPC: return .outOfAddressSpace
    // The limit of locked memory, or no memory: unmapping helps.
    case ENOMEM:
      unsafe numbers[1] = .max
      return .outOfMemory
    case EFAULT:
      unsafe numbers[0] = UInt64(MemoryKind.unknown.rawValue)
      return .notDMAable
    default:
      unsafe numbers[0] = UInt64(code)
      return .machine
    }
  }
}
