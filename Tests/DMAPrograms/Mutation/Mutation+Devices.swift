import DMA
import DMAChecker

extension Mutation {
  private static func isStreaming(_ op: Op, _ places: Places) -> Bool {
    let kind = places.maker(of: op.item)?.kind
    return kind == .map || kind == .mapValue || kind == .mapList
  }

  /// What drivers make devices do that they may not.
  static let accesses: [Mutation] = [
    Mutation(
      "unmap before the device is done", [.deviceUseAfterUnmap],
      equivalence: "the memory was mapped again at the same address meanwhile",
      { program, random in
        let places = Places(program)
        let found = places.all(.deviceRead, .deviceWrite) { op in
          places.maker(of: op.item)?.kind == .map
        }
        guard let access = found.randomElement(using: &random),
          let end = places.end(of: program[access].item), end > access
        else { return false }
        // Everything else about the item goes, or it would be wrong in other ways as well.
        let item = program[access].item
        let unmap = program[end]
        let late = program[access]
        program = program.enumerated().filter {
          $0.offset < access || $0.element.item != item
        }.map(\.element)
        program.insert(contentsOf: [unmap, late], at: access)
        return true
      }),
    Mutation(
      "tell the device more bytes", [.deviceOutside],
      equivalence: "the bytes beyond belong to another mapping of the device",
      changing(.deviceRead, .deviceWrite) { op, places in
        op.byteCount = 1 << 20
        op.countDelta = 8
      }),
    Mutation(
      "tell the device an address before the memory",
      [.deviceUsedUnmapped, .deviceUseAfterUnmap, .deviceUsedOthers],
      equivalence: "the bytes before belong to another mapping of the device",
      changing(
        .deviceRead, .deviceWrite,
        where: { op, places in places.maker(of: op.item)?.offset ?? 0 > 0 }
      ) { op, _ in
        op.addressDelta = -Int64(op.offset) - 1
        op.byteCount = 1
      }),
    Mutation(
      "let the device write what it may read", [.deviceWroteReadOnly],
      equivalence: "the memory is mapped a second time, for writing",
      changing(.deviceRead, where: { op, _ in op.direction == .toDevice }) { op, _ in
        op.kind = .deviceWrite
        op.value = 0x77
      }),
    Mutation(
      "let the device read what it may write", [.deviceReadWriteOnly],
      equivalence: "the memory is mapped a second time, for reading",
      changing(.deviceWrite, where: { op, _ in op.direction == .fromDevice }) { op, _ in
        op.kind = .deviceRead
      }),
    Mutation(
      // Which may have had a mapping there itself.
      "give the address to the other device", [.deviceUsedOthers, .deviceUseAfterUnmap],
      accepts: { !$0.hasIOMMU },
      changing(.deviceRead, .deviceWrite) { op, _ in op.device = 1 - op.device }),
    Mutation(
      "give the address to the other device, behind an IOMMU",
      [.deviceUsedOthers, .deviceUseAfterUnmap, .deviceUsedUnmapped, .deviceOutside],
      equivalence: "the other device has a mapping at the same address",
      accepts: { $0.hasIOMMU },
      changing(.deviceRead, .deviceWrite) { op, _ in op.device = 1 - op.device }),
    Mutation(
      "give the device an address of nothing", [.deviceUsedUnmapped],
      changing(.deviceRead, .deviceWrite) { op, _ in
        op.addressDelta = 0x1_0000_0000_0000
        op.byteCount = 4
      }),
    Mutation(
      "let the device run on after a free", [.deviceUseAfterUnmap],
      inserting(.after, .free) { op, _ in
        var access = op
        access.kind = .deviceWrite
        access.offset = 0
        access.byteCount = 4
        access.value = 1
        return [access]
      }),
    Mutation(
      "stop the device before it is done", [.deviceNotMaster],
      inserting(.before, .deviceRead, .deviceWrite) { op, _ in
        var stop = op
        stop.kind = .stopMastering
        return [stop]
      }),
  ]

  /// All ways, each for rules of its own.
  public static let all: [Mutation] = releases + maps + syncs + accesses
}
