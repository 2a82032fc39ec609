import DMA
import DMAChecker

extension Mutation {
  /// Wrong unmaps and frees.
  static let releases: [Mutation] = [
    Mutation("unmap twice", [.doubleRelease], inserting(.after, .unmap) { op, _ in [op] }),
    Mutation("free twice", [.doubleRelease], inserting(.after, .free) { op, _ in [op] }),
    Mutation("forget an unmap", [.leak], removing(.unmap)),
    Mutation("forget the unmap of a list", [.leak], removing(.unmapList)),
    Mutation("forget a free", [.leak], removing(.free)),
    Mutation("forget to free a block", [.poolBusy, .leak], removing(.poolFree)),
    Mutation(
      "unmap for the other device", [.releaseForWrongDevice],
      accepts: { !$0.hasIOMMU },
      changing(.unmap) { op, _ in op.device = 1 - op.device }),
    Mutation("unmap more", [.sizeDiffers], changing(.unmap) { op, _ in op.countDelta = 1 }),
    Mutation(
      "unmap less", [.sizeDiffers],
      changing(.unmap, where: { op, _ in op.byteCount > 1 }) { op, _ in op.countDelta = -1 }),
    Mutation("free more", [.sizeDiffers], changing(.free) { op, _ in op.countDelta = 1 }),
    Mutation(
      "unmap with another direction", [.directionDiffers],
      changing(.unmap, .unmapList) { op, _ in
        op.direction = op.direction == .toDevice ? .fromDevice : .toDevice
      }),
    Mutation(
      "unmap as coherent memory", [.wrongFunction],
      changing(.unmap) { op, _ in op.isOtherFamily = true }),
    Mutation(
      "free as a mapping", [.wrongFunction],
      changing(.free) { op, _ in op.isOtherFamily = true }),
    Mutation(
      "unmap an address inside", [.releaseOfUnknown],
      changing(.unmap, where: { op, _ in op.byteCount > 1 }) { op, _ in op.addressDelta = 1 }),
    Mutation(
      "unmap the error value", [.releaseOfFailedMapping],
      changing(.unmap) { op, _ in op.isErrorValue = true }),
    Mutation(
      "free another CPU address", [.cpuAddressDiffers],
      changing(.free) { op, _ in op.cpuDelta = 64 }),
    Mutation(
      "unmap fewer entries", [.entryCountDiffers],
      changing(.unmapList, where: { $1.maker(of: $0.item)?.entries.count ?? 0 > 1 }) { op, _ in
        op.countDelta = -1
      }),
    Mutation(
      "unmap more entries", [.entryCountDiffers],
      changing(.unmapList) { op, _ in op.countDelta = 1 }),
    Mutation(
      "never look at a result", [.errorNotChecked], isContract: true,
      removing(.checkError, where: { $1.end(of: $1.program[$0].item) != nil })),
    Mutation(
      "drop a mapping", [.mappingDropped], changing(.unmapValue) { op, _ in op.kind = .dropValue }),
    Mutation(
      "free a block twice", [.poolDoubleFree], inserting(.after, .poolFree) { op, _ in [op] }),
    Mutation(
      "free a block to the other pool", [.poolFreeToWrongPool],
      changing(.poolFree) { op, _ in op.pool = 1 - op.pool }),
    Mutation(
      "free inside of a block", [.poolFreeOfUnknown],
      changing(.poolFree) { op, _ in
        op.addressDelta = 16
        op.cpuDelta = 16
      }),
    Mutation(
      "end a pool in use", [.poolBusy],
      inserting(.after, .poolAllocate) { op, _ in
        var end = op
        end.kind = .poolDestroy
        return [end]
      }),
    Mutation(
      "write a block after its free", [.poolBlockWritten], isContract: true,
      inserting(.after, .poolFree, where: { op, _ in op.pool == 1 }) { op, _ in
        var write = op
        write.kind = .cpuWrite
        write.offset = 8
        write.byteCount = 8
        write.value = 0xa5
        var take = op
        take.kind = .poolAllocate
        take.item = 100_000
        var give = take
        give.kind = .poolFree
        return [write, take, give]
      }),
  ]
}
