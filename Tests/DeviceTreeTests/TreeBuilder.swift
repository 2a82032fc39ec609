/// Writes flattened device trees, for tests.
struct TreeBuilder {
  private var structure: [UInt8] = []
  private var strings: [UInt8] = []
  private var reservations: [UInt8] = []

  mutating func reserve(start: UInt64, byteCount: UInt64) {
    reservations += Self.words([UInt32(start >> 32), UInt32(truncatingIfNeeded: start)])
    reservations += Self.words([UInt32(byteCount >> 32), UInt32(truncatingIfNeeded: byteCount)])
  }

  mutating func node(_ name: String, _ body: (inout TreeBuilder) -> Void) {
    structure += Self.words([1]) + Array(name.utf8) + [0]
    pad()
    body(&self)
    structure += Self.words([2])
  }

  mutating func property(_ name: String, words: [UInt32]) {
    property(name, bytes: Self.words(words))
  }

  mutating func property(_ name: String, texts: [String]) {
    property(name, bytes: texts.flatMap { Array($0.utf8) + [0] })
  }

  mutating func property(_ name: String, bytes: [UInt8]) {
    structure += Self.words([3, UInt32(bytes.count), UInt32(strings.count)]) + bytes
    strings += Array(name.utf8) + [0]
    pad()
  }

  private mutating func pad() {
    while structure.count % 4 != 0 { structure.append(0) }
  }

  static func words(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - $0 * 8)) } }
  }

  /// The whole blob.
  func blob(magic: UInt32 = 0xd00d_feed, version: UInt32 = 17) -> [UInt8] {
    let reserved = reservations + [UInt8](repeating: 0, count: 16)
    let ended = structure + Self.words([9])
    let structureStart = 40 + reserved.count
    let stringsStart = structureStart + ended.count
    let header = Self.words([
      magic, UInt32(stringsStart + strings.count), UInt32(structureStart), UInt32(stringsStart), 40,
      version, 16, 0, UInt32(strings.count), UInt32(ended.count),
    ])
    return header + reserved + ended + strings
  }
}

/// A tree like QEMU's virt machines have.
func virtTree() -> TreeBuilder {
  var tree = TreeBuilder()
  tree.reserve(start: 0x8000_0000, byteCount: 0x1000)
  tree.node("") { root in
    root.property("#address-cells", words: [2])
    root.property("#size-cells", words: [2])
    root.node("memory@40000000") { memory in
      memory.property("device_type", texts: ["memory"])
      memory.property("reg", words: [0, 0x4000_0000, 1, 0x8000_0000, 8, 0, 0, 0x1000])
    }
    root.node("reserved-memory") { reserved in
      reserved.property("#address-cells", words: [2])
      reserved.property("#size-cells", words: [2])
      reserved.property("ranges", words: [])
      reserved.node("secure@41000000") { secure in
        secure.property("reg", words: [0, 0x4100_0000, 0, 0x2000])
      }
    }
    root.node("soc") { soc in
      soc.property("#address-cells", words: [1])
      soc.property("#size-cells", words: [1])
      // Bus 0 is the CPU's 0x1_0000_0000, 1 MiB of it.
      soc.property("ranges", words: [0, 1, 0, 0x10_0000])
      soc.node("serial@9000") { serial in
        serial.property("compatible", texts: ["arm,pl011", "arm,primecell"])
        serial.property("reg", words: [0x9000, 0x1000])
      }
      soc.node("serial@a000") { serial in
        serial.property("compatible", texts: ["ns16550a"])
        serial.property("status", texts: ["disabled"])
        serial.property("reg", words: [0xa000, 0x1000])
      }
      soc.node("stray@200000") { stray in
        stray.property("compatible", texts: ["stray"])
        stray.property("reg", words: [0x20_0000, 0x1000])
      }
    }
    root.node("pcie@10000000") { pci in
      pci.property("compatible", texts: ["pci-host-ecam-generic"])
      pci.property("#address-cells", words: [3])
      pci.property("#size-cells", words: [2])
      pci.property("reg", words: [0x40, 0x1000_0000, 0, 0x1000_0000])
      pci.property("bus-range", words: [0, 0xff])
      pci.property("dma-coherent", words: [])
      pci.property(
        "ranges",
        words: [
          0x100_0000, 0, 0, 0, 0x3eff_0000, 0, 0x1_0000,
          0x200_0000, 0, 0x1000_0000, 0, 0x2000_0000, 0, 0x2eff_0000,
          0x300_0000, 0x80, 0, 0x80, 0, 0x80, 0,
        ])
    }
  }
  return tree
}
