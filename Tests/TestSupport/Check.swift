public import Testing

/// Expects a condition about values that cannot be copied, which `#expect` cannot take apart.
public func check(
  _ condition: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(condition, comment, sourceLocation: sourceLocation)
}
