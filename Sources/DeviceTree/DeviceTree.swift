/// A flattened device tree, version 17, as loaders hand it to kernels (Devicetree Specification
/// 0.4, chapter 5).
///
/// Nothing is copied and nothing allocated: nodes and properties are offsets into the blob. The
/// blob is hostile input: it is walked once and refused when anything in it is out of bounds, so
/// that later reads cannot fail.
@safe
public struct DeviceTree: Sendable {
  /// Nodes may be nested this deep, the root included.
  public static let depthMax = 16

  let bytes: DeviceTreeBytes
  let structure: Range<Int>
  let strings: Range<Int>
  let reservations: Int

  /// Reads and checks a blob.
  ///
  /// The bytes must stay and not change as long as this value, its nodes and properties are used.
  ///
  /// - Throws: `DeviceTreeError`; the same bytes never succeed later.
  public init(unsafeBytes blob: UnsafeRawBufferPointer) throws(DeviceTreeError) {
    guard let start = blob.baseAddress else { throw .truncated(offset: 0) }
    let all = unsafe DeviceTreeBytes(start: start, count: blob.count)
    let magic = try all.word(0)
    guard magic == 0xd00d_feed else { throw .badMagic(magic) }
    let total = Int(try all.word(4))
    guard total <= blob.count else { throw .truncated(offset: blob.count) }
    let bytes = unsafe DeviceTreeBytes(start: start, count: total)
    let version = try bytes.word(20)
    // Field 24: the oldest version that readers may know and still understand this blob.
    guard version >= 17, try bytes.word(24) <= 17 else { throw .unsupportedVersion(version) }
    structure = try Self.block(bytes, offset: try bytes.word(8), byteCount: try bytes.word(36))
    strings = try Self.block(bytes, offset: try bytes.word(12), byteCount: try bytes.word(32))
    reservations = Int(try bytes.word(16))
    self.bytes = bytes
    try check()
  }

  /// How many bytes of memory hold a device tree, from its header; nil when there is none.
  ///
  /// - Parameter header: at least 8 bytes.
  public static func byteCount(unsafeHeader header: UnsafeRawBufferPointer) -> Int? {
    guard let start = header.baseAddress else { return nil }
    let bytes = unsafe DeviceTreeBytes(start: start, count: header.count)
    guard let magic = try? bytes.word(0), magic == 0xd00d_feed, let total = try? bytes.word(4)
    else { return nil }
    return Int(total)
  }

  private static func block(
    _ bytes: DeviceTreeBytes, offset: UInt32, byteCount: UInt32
  ) throws(DeviceTreeError) -> Range<Int> {
    let first = Int(offset)
    guard first <= bytes.count, Int(byteCount) <= bytes.count - first else {
      throw .truncated(offset: first)
    }
    return first..<(first + Int(byteCount))
  }

  /// Calls `body` for each range of the memory reservation block, until it returns false.
  public func forEachReservation(_ body: (MemoryRange) -> Bool) {
    var offset = reservations
    while true {
      // `check` has found the end of the list.
      guard let start = try? bytes.doubleWord(offset),
        let size = try? bytes.doubleWord(offset + 8), size != 0 || start != 0
      else { return }
      guard body(MemoryRange(start: start, byteCount: size)) else { return }
      offset += 16
    }
  }

  /// Calls `body` for each node, parents before children, until it returns false.
  public func forEachNode(_ body: (DeviceTreeNode) -> Bool) {
    var offset = structure.lowerBound
    var path = DeviceTreePath()
    while let token = try? self.token(at: offset) {
      switch token.kind {
      case .beginNode:
        guard path.push(offset) else { return }
        guard body(DeviceTreeNode(tree: self, path: path)) else { return }
      case .endNode: path.pop()
      case .end: return
      case .property, .nothing: break
      }
      offset = token.next
    }
  }

  /// The first node that is compatible with `name`.
  public func node(compatibleWith name: StaticString) -> DeviceTreeNode? {
    var found: DeviceTreeNode?
    forEachNode { node in
      guard node.isEnabled, node.isCompatible(with: name) else { return true }
      found = node
      return false
    }
    return found
  }

  /// The root node.
  public var root: DeviceTreeNode? {
    var found: DeviceTreeNode?
    forEachNode { node in
      found = node
      return false
    }
    return found
  }

  /// Walks everything once.
  private func check() throws(DeviceTreeError) {
    var offset = reservations
    while true {
      let start = try bytes.doubleWord(offset)
      let size = try bytes.doubleWord(offset + 8)
      if start == 0 && size == 0 { break }
      offset += 16
    }
    offset = structure.lowerBound
    var depth = 0
    var hasRoot = false
    while true {
      let token = try self.token(at: offset)
      switch token.kind {
      case .beginNode:
        // One root.
        guard depth > 0 || !hasRoot else { throw .malformed(offset: offset) }
        hasRoot = true
        depth += 1
        guard depth <= Self.depthMax else { throw .tooDeep(limit: Self.depthMax) }
      case .endNode:
        guard depth > 0 else { throw .malformed(offset: offset) }
        depth -= 1
      case .property: guard depth > 0 else { throw .malformed(offset: offset) }
      case .nothing: break
      case .end:
        guard depth == 0, hasRoot else { throw .malformed(offset: offset) }
        return
      }
      offset = token.next
    }
  }
}

/// Bytes of memory: where they start and how many there are.
@frozen
public struct MemoryRange: Equatable, Sendable {
  public var start: UInt64
  public var byteCount: UInt64

  public init(start: UInt64, byteCount: UInt64) {
    self.start = start
    self.byteCount = byteCount
  }
}
