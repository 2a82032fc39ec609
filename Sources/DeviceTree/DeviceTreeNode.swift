/// A node of a device tree: a device, a bus, memory.
public struct DeviceTreeNode: Sendable {
  public let tree: DeviceTree
  let path: DeviceTreePath

  /// The property called `name`.
  public func property(_ name: StaticString) -> DeviceTreeProperty? { property(name, of: 0) }

  /// A property of the node or of an ancestor.
  func property(_ name: StaticString, of generations: Int) -> DeviceTreeProperty? {
    // The tree was checked when it was made: tokens cannot fail.
    guard let start = path.ancestor(generations), let begin = try? tree.token(at: start) else {
      return nil
    }
    var offset = begin.next
    while let token = try? tree.token(at: offset) {
      switch token.kind {
      case .property:
        if tree.bytes.matches(token.name.lowerBound, token.name.count, name) {
          return DeviceTreeProperty(tree: tree, range: token.payload)
        }
      case .nothing: break
      case .beginNode, .endNode, .end: return nil
      }
      offset = token.next
    }
    return nil
  }

  /// Whether the node's name, without its unit address, is `name`.
  public func isNamed(_ name: StaticString) -> Bool {
    guard let start = path.ancestor(0), let begin = try? tree.token(at: start) else {
      return false
    }
    var length = 0
    while length < begin.payload.count {
      guard let byte = try? tree.bytes.byte(begin.payload.lowerBound + length),
        byte != UInt8(ascii: "@")
      else { break }
      length += 1
    }
    return tree.bytes.matches(begin.payload.lowerBound, length, name)
  }

  /// Whether one of the node's compatible strings is `name`.
  public func isCompatible(with name: StaticString) -> Bool {
    property("compatible")?.contains(name) ?? false
  }

  /// Whether the node is to be used: no status, or "okay" (2.3.4).
  public var isEnabled: Bool {
    guard let status = property("status") else { return true }
    return status.contains("okay") || status.contains("ok")
  }

  /// Whether DMA of the node is coherent with the CPU's caches: `dma-coherent` on it or any bus
  /// above it.
  public var isDMACoherent: Bool {
    for generations in 0..<path.depth where property("dma-coherent", of: generations) != nil {
      return true
    }
    return false
  }

  /// How many words an address of the node's children has; 2 when it does not say (2.3.5).
  public var addressCells: Int { cells("#address-cells", of: 0, default: 2) }
  /// How many words a size of the node's children has; 1 when it does not say.
  public var sizeCells: Int { cells("#size-cells", of: 0, default: 1) }

  func cells(_ name: StaticString, of generations: Int, default value: Int) -> Int {
    guard let word = property(name, of: generations)?.word(0) else { return value }
    return Int(word)
  }

  /// How many words an address and a size in this node's own `reg` have.
  var parentCells: (address: Int, size: Int) {
    (cells("#address-cells", of: 1, default: 2), cells("#size-cells", of: 1, default: 1))
  }

  /// The memory that entry `index` of `reg` names, as the CPU sees it: through the `ranges` of
  /// every bus above; nil when there is no such entry or a bus does not pass it on.
  public func registers(_ index: Int = 0) -> MemoryRange? {
    let cells = parentCells
    let entry = cells.address + cells.size
    guard let reg = property("reg"), entry > 0, index >= 0, index < reg.byteCount / 4 / entry,
      let range = reg.range(
        word: index * entry, addressCells: cells.address,
        sizeCells: cells.size)
    else { return nil }
    return translate(range, from: 1)
  }

  /// Takes an address on the bus `generations` above this node up to the CPU's.
  func translate(_ range: MemoryRange, from generations: Int) -> MemoryRange? {
    var range = range
    var bus = generations
    // The root's children already have the CPU's addresses.
    while bus < path.depth - 1 {
      guard let ranges = property("ranges", of: bus) else { return nil }
      if ranges.byteCount > 0 {
        let child = cells("#address-cells", of: bus, default: 2)
        let size = cells("#size-cells", of: bus, default: 1)
        let parent = cells("#address-cells", of: bus + 1, default: 2)
        guard
          let translated = ranges.translate(
            range, childCells: child, parentCells: parent, sizeCells: size)
        else { return nil }
        range = translated
      }
      bus += 1
    }
    return range
  }
}

extension DeviceTreeNode {
  /// Whether the node is a part of /reserved-memory (3.5).
  public var isInReservedMemory: Bool {
    guard path.depth == 3, let parent = path.ancestor(1), let begin = try? tree.token(at: parent)
    else { return false }
    return tree.bytes.matches(
      begin.payload.lowerBound, begin.payload.count, "reserved-memory")
  }
}
