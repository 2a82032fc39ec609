import DMA
import DMAChecker

extension Mutation {
  /// A map of memory that must not be mapped.
  private static func mapping(_ memory: Op.Memory) -> Change {
    inserting(.after, .map) { op, _ in
      var map = op
      map.memory = memory
      map.offset = 16
      map.byteCount = 64
      map.item = 100_000
      map.isErrorCheckExpected = false
      var unmap = map
      unmap.kind = .unmap
      return [map, unmap]
    }
  }

  /// Wrong maps and masks.
  static let maps: [Mutation] = [
    Mutation("map vmalloc memory", [.mapOfVmalloc], mapping(.vmalloc)),
    Mutation("map a stack", [.mapOfStack], mapping(.stack)),
    Mutation("map the driver's own variables", [.mapOfKernelImage], mapping(.image)),
    Mutation("map memory of a process", [.mapOfInvalidArea], mapping(.user)),
    Mutation(
      "map nothing", [.zeroLengthMap],
      inserting(.after, .map) { op, _ in
        var map = op
        map.byteCount = 0
        map.item = 100_000
        map.isErrorCheckExpected = false
        return [map]
      }),
    Mutation(
      "map a cache line twice", [.overlappingCacheLine], isContract: true,
      inserting(.after, .map, where: { op, _ in op.direction != .toDevice }) { op, _ in
        var map = op
        map.item = 100_000
        map.isErrorCheckExpected = false
        map.direction = .fromDevice
        map.byteCount = 1
        var unmap = map
        unmap.kind = .unmap
        return [map, unmap]
      }),
    Mutation(
      "change the mask while mapped", [.maskChangedWhileMapped], isContract: true,
      accepts: { $0.maskBits >= 32 },
      inserting(.after, .map) { op, _ in
        var mask = op
        mask.kind = .setMask
        mask.maskBits = 48
        return [mask]
      }),
    Mutation(
      "go on after a refused mask", [.refusedMaskUsed], isContract: true,
      inserting(.before, .map) { op, _ in
        var mask = op
        mask.kind = .setMask
        mask.maskBits = 8
        return [mask]
      }),
    Mutation(
      "free memory that is mapped", [.memoryFreed],
      inserting(.after, .map) { op, _ in
        var free = op
        free.kind = .freePage
        return [free]
      }),
    Mutation(
      "write what the device may read", [.memoryChanged], isContract: true,
      inserting(.after, .map, where: { op, _ in op.direction == .toDevice }) { op, _ in
        var write = op
        write.kind = .cpuWrite
        write.offset = 0
        write.byteCount = 1
        write.value = 0x5a
        return [write]
      }),
  ]

  /// Wrong syncs.
  static let syncs: [Mutation] = [
    Mutation(
      "sync beyond the end", [.syncOutside],
      changing(.syncForCPU) { op, places in
        let all = places.maker(of: op.item)?.byteCount ?? 0
        op.countDelta = all - op.offset - op.byteCount + 1
      }),
    Mutation(
      "sync after the unmap", [.syncAfterRelease],
      inserting(.after, .unmap) { op, _ in
        var sync = op
        sync.kind = .syncForCPU
        sync.offset = 0
        return [sync]
      }),
    Mutation(
      "sync what was never mapped", [.syncOfUnknown],
      inserting(.after, .allocate) { op, _ in
        var sync = op
        sync.kind = .syncForCPU
        sync.offset = 0
        sync.byteCount = 1
        return [sync]
      }),
    Mutation(
      "sync what was sent as if received", [.syncReadOnly],
      changing(.syncForCPU, where: { op, _ in op.direction == .toDevice }) { op, _ in
        op.direction = .fromDevice
      }),
    Mutation(
      "sync what was received as if to send", [.syncWriteOnly],
      changing(.syncForDevice, where: { op, _ in op.direction == .fromDevice }) { op, _ in
        op.direction = .toDevice
      }),
    Mutation(
      "sync for the CPU with another direction", [.syncDirection],
      changing(.syncForCPU, where: { op, _ in op.direction == .fromDevice }) { op, _ in
        op.direction = .toDevice
      }),
    Mutation(
      "sync fewer entries", [.syncEntryCount],
      changing(
        .syncListForCPU, where: { $1.maker(of: $0.item)?.entries.count ?? 0 > 1 }
      ) { op, _ in op.countDelta = -1 }),
    Mutation(
      "sync more entries", [.syncEntryCount],
      changing(.syncListForDevice) { op, _ in op.countDelta = 1 }),
    Mutation(
      "look at what was received without a sync", [.cpuTouchedMapped], isContract: true,
      isGuarded: true,
      removing(
        .syncForCPU,
        where: { index, places in
          places.program[index].direction == .fromDevice
            && !places.all(
              .syncForCPU, where: { $0.item == places.program[index].item }
            ).contains { $0 < index }
        })),
    Mutation(
      "write into memory the device fills", [.cpuTouchedMapped], isContract: true, isGuarded: true,
      inserting(.after, .map, where: { op, _ in op.direction != .toDevice }) { op, _ in
        var write = op
        write.kind = .cpuWrite
        write.offset = 0
        write.byteCount = 1
        return [write]
      }),
    Mutation(
      "forget to hand memory back", [.deviceUsedCPUOwned],
      equivalence: "the device does not use the memory any more",
      removing(
        .syncForDevice,
        where: { index, places in
          // The device reads what the CPU has just written.
          places.program.indices.contains(index + 1)
            && places.program[index + 1].kind == .deviceRead
            && places.program[index].direction != .fromDevice
        })),
  ]
}
