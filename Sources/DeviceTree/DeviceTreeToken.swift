/// One token of the structure block (Devicetree Specification 0.4, 5.4.1).
struct DeviceTreeToken {
  // With raw values: hashing them then needs no code of its own, which would ask for random seeds.
  enum Kind: UInt8 { case beginNode, endNode, property, nothing, end }
  var kind: Kind
  /// The node's name, or the property's value.
  var payload: Range<Int>
  /// The property's name.
  var name: Range<Int>
  /// Where the next token is.
  var next: Int
}

extension DeviceTree {
  func token(at offset: Int) throws(DeviceTreeError) -> DeviceTreeToken {
    guard offset >= structure.lowerBound, offset <= structure.upperBound - 4, offset % 4 == 0
    else { throw .truncated(offset: offset) }
    let none = offset..<offset
    let body = offset + 4
    switch try bytes.word(offset) {
    case 1:
      let length = try bytes.stringLength(body, end: structure.upperBound)
      return DeviceTreeToken(
        kind: .beginNode, payload: body..<(body + length), name: none,
        next: aligned(body + length + 1))
    case 2: return DeviceTreeToken(kind: .endNode, payload: none, name: none, next: body)
    case 3:
      let length = Int(try bytes.word(body))
      let value = body + 8
      guard value <= structure.upperBound, length <= structure.upperBound - value else {
        throw .truncated(offset: offset)
      }
      let nameOffset = Int(try bytes.word(body + 4))
      guard nameOffset < strings.count else { throw .truncated(offset: offset) }
      let name = strings.lowerBound + nameOffset
      let nameLength = try bytes.stringLength(name, end: strings.upperBound)
      return DeviceTreeToken(
        kind: .property, payload: value..<(value + length), name: name..<(name + nameLength),
        next: aligned(value + length))
    case 4: return DeviceTreeToken(kind: .nothing, payload: none, name: none, next: body)
    case 9: return DeviceTreeToken(kind: .end, payload: none, name: none, next: body)
    default: throw .malformed(offset: offset)
    }
  }

  private func aligned(_ offset: Int) -> Int { (offset + 3) & ~3 }
}

/// The offsets of a node and its ancestors, the root first.
struct DeviceTreePath: Sendable {
  private var offsets: [16 of Int] = [16 of Int](repeating: 0)
  private(set) var depth = 0

  mutating func push(_ offset: Int) -> Bool {
    guard depth < DeviceTree.depthMax else { return false }
    offsets[depth] = offset
    depth += 1
    return true
  }

  mutating func pop() { depth = max(0, depth - 1) }

  /// The node `generations` above this one; 0 is the node itself.
  func ancestor(_ generations: Int) -> Int? {
    generations >= 0 && generations < depth ? offsets[depth - 1 - generations] : nil
  }
}
