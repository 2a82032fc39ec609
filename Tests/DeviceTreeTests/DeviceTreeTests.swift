import DeviceTree
import TestSupport
import Testing

@Suite struct DeviceTreeTests {
  /// Reads a blob and looks at everything in it, as a machine does.
  private func read<R>(
    _ blob: [UInt8], _ body: (DeviceTree) throws -> R
  ) throws -> R {
    try unsafe blob.withUnsafeBytes { bytes in
      try body(unsafe DeviceTree(unsafeBytes: bytes))
    }
  }

  @Test func `memory is found with 64-bit addresses and sizes`() throws {
    try read(virtTree().blob()) { tree in
      let node = try #require(memoryNode(tree))
      #expect(node.registers(0) == MemoryRange(start: 0x4000_0000, byteCount: 0x1_8000_0000))
      #expect(node.registers(1) == MemoryRange(start: 0x8_0000_0000, byteCount: 0x1000))
      #expect(node.registers(2) == nil)
      #expect(node.registers(-1) == nil)
    }
  }

  private func memoryNode(_ tree: DeviceTree) -> DeviceTreeNode? {
    var found: DeviceTreeNode?
    tree.forEachNode { node in
      guard node.property("device_type")?.contains("memory") ?? false else { return true }
      found = node
      return false
    }
    return found
  }

  @Test func `a bus's ranges translate its children's registers`() throws {
    try read(virtTree().blob()) { tree in
      let serial = try #require(tree.node(compatibleWith: "arm,primecell"))
      #expect(serial.isNamed("serial"))
      #expect(serial.registers() == MemoryRange(start: 0x1_0000_9000, byteCount: 0x1000))
    }
  }

  @Test func `registers outside of a bus's ranges are nobody's`() throws {
    try read(virtTree().blob()) { tree in
      let stray = try #require(tree.node(compatibleWith: "stray"))
      #expect(stray.registers() == nil)
    }
  }

  @Test func `disabled nodes are not found`() throws {
    try read(virtTree().blob()) { tree in
      #expect(tree.node(compatibleWith: "ns16550a") == nil)
    }
  }

  @Test func `reservations and reserved memory are told`() throws {
    try read(virtTree().blob()) { tree in
      var reservations: [MemoryRange] = []
      tree.forEachReservation { range in
        reservations.append(range)
        return true
      }
      #expect(reservations == [MemoryRange(start: 0x8000_0000, byteCount: 0x1000)])
      var reserved: [MemoryRange?] = []
      tree.forEachNode { node in
        if node.isInReservedMemory { reserved.append(node.registers()) }
        return true
      }
      #expect(reserved == [MemoryRange(start: 0x4100_0000, byteCount: 0x2000)])
    }
  }

  @Test func `the PCI host's configuration space and windows are read`() throws {
    try read(virtTree().blob()) { tree in
      let host = try #require(PCIHostDescription(tree))
      #expect(host.configuration == MemoryRange(start: 0x40_1000_0000, byteCount: 0x1000_0000))
      #expect(host.firstBus == 0 && host.lastBus == 255)
      #expect(host.memory32.busAddress == 0x1000_0000)
      #expect(host.memory32.cpuAddress == 0x2000_0000)
      #expect(host.memory32.byteCount == 0x2eff_0000)
      #expect(host.memory64?.cpuAddress == 0x80_0000_0000)
      #expect(host.isCoherent)
    }
  }

  @Test func `the header tells how long a blob is`() throws {
    let blob = virtTree().blob()
    let count = unsafe blob.withUnsafeBytes { bytes in
      unsafe DeviceTree.byteCount(
        unsafeHeader: UnsafeRawBufferPointer(rebasing: bytes.prefix(8)))
    }
    #expect(count == blob.count)
  }

  @Test func `other bytes are refused with what is wrong`() {
    #expect(throws: DeviceTreeError.badMagic(0x1234)) {
      try read(virtTree().blob(magic: 0x1234)) { _ in }
    }
    #expect(throws: DeviceTreeError.unsupportedVersion(16)) {
      try read(virtTree().blob(version: 16)) { _ in }
    }
    #expect(throws: DeviceTreeError.truncated(offset: 0)) { try read([]) { _ in } }
  }

  @Test func `nesting beyond the limit is refused`() {
    var tree = TreeBuilder()
    nest(&tree, DeviceTree.depthMax + 1)
    #expect(throws: DeviceTreeError.tooDeep(limit: DeviceTree.depthMax)) {
      try read(tree.blob()) { _ in }
    }
    var allowed = TreeBuilder()
    nest(&allowed, DeviceTree.depthMax)
    #expect(throws: Never.self) { try read(allowed.blob()) { _ in } }
  }

  private func nest(_ tree: inout TreeBuilder, _ depth: Int) {
    guard depth > 0 else { return }
    tree.node("n") { nest(&$0, depth - 1) }
  }

  @Test func `every shorter blob is refused`() {
    let blob = virtTree().blob()
    for count in 0..<blob.count {
      #expect(throws: DeviceTreeError.self) { try read(Array(blob.prefix(count))) { _ in } }
    }
  }

  @Test func `damaged blobs are refused or read, and never read out of bounds`() throws {
    var random = SeededGenerator()
    let blob = virtTree().blob()
    var refused = 0
    for _ in 0..<4000 {
      var damaged = blob
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<blob.count, using: &random)] =
          UInt8.random(in: 0...255, using: &random)
      }
      do {
        try read(damaged) { tree in lookAtEverything(tree) }
      } catch {
        #expect(error is DeviceTreeError)
        refused += 1
      }
    }
    #expect(refused > 0 && refused < 4000, "seed \(random.seed)")
  }

  private func lookAtEverything(_ tree: DeviceTree) {
    tree.forEachReservation { _ in true }
    tree.forEachNode { node in
      _ = node.registers(0)
      _ = node.registers(3)
      _ = node.isEnabled
      _ = node.isInReservedMemory
      _ = node.isDMACoherent
      _ = node.property("ranges")?.number(word: 1, cells: 3)
      return true
    }
    _ = PCIHostDescription(tree)
    _ = tree.root
  }
}
