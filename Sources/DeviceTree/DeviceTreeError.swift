/// Why a blob is not a device tree.
public enum DeviceTreeError: Error, Equatable, Sendable {
  /// It does not begin with 0xd00dfeed.
  case badMagic(UInt32)
  /// Its layout is not compatible with version 17 (the only one since 2005).
  case unsupportedVersion(UInt32)
  /// A block or token reaches beyond the bytes there are.
  case truncated(offset: Int)
  /// A token, name or nesting that the format does not have.
  case malformed(offset: Int)
  /// Nodes are nested deeper than `limit`.
  case tooDeep(limit: Int)
}

extension DeviceTreeError: CustomStringConvertible {
  /// What is wrong, and where.
  public var description: String {
    switch self {
    case .badMagic(let magic): "not a device tree: it begins with 0x\(String(magic, radix: 16))"
    case .unsupportedVersion(let version): "device tree version \(version), 17 is understood"
    case .truncated(let offset): "the device tree ends early, at byte \(offset)"
    case .malformed(let offset): "the device tree is malformed at byte \(offset)"
    case .tooDeep(let limit): "the device tree is nested deeper than \(limit)"
    }
  }
}
