internal import CVFIO

extension VFIOHost {
  func auditMemory() throws(VFIOError) -> [VFIOMachine.ReplacedMemory] {
    guard vfio_host_fork_count() == (unsafe state.pointee.forkCount) else { throw .forked }
    let kept = KeptAreas.current(tree)
    var found: [VFIOMachine.ReplacedMemory] = []
    func look(_ cpuAddress: UInt, _ byteCount: UInt64, isPinned: Bool) {
      guard let first = kept.firstReplaced(UInt64(cpuAddress), byteCount) else { return }
      found.append(
        VFIOMachine.ReplacedMemory(
          cpuAddress: UInt(first), byteCount: byteCount, isPinned: isPinned))
    }
    look(pool.cpuAddress, pool.byteCount, isPinned: false)
    for range in pins.all { look(range.cpuAddress, range.byteCount, isPinned: true) }
    return found
  }
}
