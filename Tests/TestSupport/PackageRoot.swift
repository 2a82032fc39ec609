/// Where things lie in the checkout that the tests were built from.
public enum PackageRoot {
  /// The folder with Package.swift.
  public static let path: String = {
    // .../Tests/TestSupport/PackageRoot.swift
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)
    return parts.joined(separator: "/")
  }()
}
