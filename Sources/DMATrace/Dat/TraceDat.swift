struct TraceDat {
  init(_ base: UnsafePointer<UInt8>, _ count: Int, path: String, context: TraceContext) throws(TraceInputError) {}
  static func isTraceDat(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool { false }
  mutating func read<Sink: TraceSink>(into sink: Sink) throws(TraceInputError) {}
}
