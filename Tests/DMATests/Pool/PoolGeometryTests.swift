import DMA
import TestSupport
import Testing

/// A row of section 4.5, 6.4+ column: block size and blocks a page; nil where none is made.
struct GeometryVector: Sendable, CustomTestStringConvertible {
  let size: Int
  let align: Int
  let boundary: Int
  let block: Int
  let count: Int
  init(_ size: Int, _ align: Int, _ boundary: Int, _ block: Int, _ count: Int) {
    self.size = size
    self.align = align
    self.boundary = boundary
    self.block = block
    self.count = count
  }
  var testDescription: String { "\(size)/\(align)/\(boundary)" }
}

private let geometryVectors = [
  // These two differ from Linux by design: nothing is stored in a block, so there is no minimum.
  GeometryVector(1, 1, 0, 1, 4096), GeometryVector(3, 2, 0, 4, 1024),
  GeometryVector(9, 8, 0, 16, 256), GeometryVector(15, 8, 0, 16, 256),
  GeometryVector(31, 16, 0, 32, 128), GeometryVector(48, 16, 0, 48, 85),
  GeometryVector(64, 16, 0, 64, 64), GeometryVector(68, 32, 4096, 96, 42),
  GeometryVector(68, 32, 1024, 96, 40), GeometryVector(127, 64, 0, 128, 32),
  GeometryVector(24, 8, 64, 24, 128), GeometryVector(40, 8, 64, 40, 64),
  GeometryVector(24, 8, 256, 24, 160), GeometryVector(48, 64, 128, 64, 64),
  GeometryVector(1024, 1024, 0, 1024, 4), GeometryVector(1024, 1024, 4096, 1024, 4),
  GeometryVector(1024, 16, 2048, 1024, 4), GeometryVector(512, 512, 2048, 512, 8),
  GeometryVector(24, 8, 8192, 24, 170), GeometryVector(2048, 2048, 0, 2048, 2),
  GeometryVector(3000, 8, 4096, 3000, 1), GeometryVector(4096, 4096, 0, 4096, 1),
  GeometryVector(5000, 8, 0, 5000, 1),
]

@Suite struct PoolGeometryTests {
  @Test(arguments: geometryVectors)
  func `T12 T16 T17 blocks and counts are those of section 4.5`(vector: GeometryVector) throws {
    let geometry = try PoolGeometry(
      byteCount: vector.size, alignment: vector.align, boundary: vector.boundary)
    #expect(geometry.blockByteCount == vector.block)
    #expect(geometry.blocksPerPage == vector.count)
    #expect(geometry.pageByteCount == max(4096, vector.block))
  }

  @Test func `R61 T18 what is not a power of two is refused`() throws {
    for alignment in [3, 6, 12, -8, .max] {
      #expect(throws: DMAError.invalidAlignment(alignment, limit: 1 << 30)) {
        try PoolGeometry(byteCount: 10, alignment: alignment, boundary: 0)
      }
    }
    #expect(throws: DMAError.invalidBoundary(3000, blockByteCount: 16)) {
      try PoolGeometry(byteCount: 16, alignment: 8, boundary: 3000)
    }
    #expect(throws: DMAError.invalidBoundary(-4096, blockByteCount: 16)) {
      try PoolGeometry(byteCount: 16, alignment: 8, boundary: -4096)
    }
    let one = try PoolGeometry(byteCount: 10, alignment: 1, boundary: 0)
    let zero = try PoolGeometry(byteCount: 10, alignment: 0, boundary: 0)
    #expect(one == zero)
  }

  @Test func `R58 impossible sizes and boundaries below a block are refused`() throws {
    #expect(throws: DMAError.emptyRequest) {
      try PoolGeometry(byteCount: 0, alignment: 8, boundary: 0)
    }
    #expect(throws: DMAError.emptyRequest) {
      try PoolGeometry(byteCount: -1, alignment: 8, boundary: 0)
    }
    #expect(throws: DMAError.tooLarge(byteCount: 1 << 31, limit: (1 << 31) - 1)) {
      try PoolGeometry(byteCount: 1 << 31, alignment: 8, boundary: 0)
    }
    #expect(throws: DMAError.invalidBoundary(4096, blockByteCount: 5000)) {
      try PoolGeometry(byteCount: 5000, alignment: 8, boundary: 4096)
    }
    // It is the block that must fit, not the request.
    #expect(throws: DMAError.invalidBoundary(64, blockByteCount: 128)) {
      try PoolGeometry(byteCount: 40, alignment: 128, boundary: 64)
    }
  }

  @Test func `R57 R66 T17b every block is aligned, inside of its page and off the boundaries`()
    throws
  {
    var random = SeededGenerator()
    for _ in 0..<3000 {
      let size = Int.random(in: 1...9000, using: &random)
      let align = 1 << Int.random(in: 0...13, using: &random)
      var boundary = 1 << Int.random(in: 0...16, using: &random)
      if boundary < (size + align - 1) & ~(align - 1) { boundary = 0 }
      let geometry = try PoolGeometry(byteCount: size, alignment: align, boundary: boundary)
      var end = 0
      for index in 0..<geometry.blocksPerPage {
        let offset = geometry.offset(of: index)
        #expect(offset >= end, "blocks overlap")
        #expect(offset % align == 0)
        if boundary != 0 { #expect(offset / boundary == (offset + size - 1) / boundary) }
        #expect(geometry.index(at: offset) == index)
        if geometry.blockByteCount > 1 { #expect(geometry.index(at: offset + 1) == nil) }
        end = offset + geometry.blockByteCount
      }
      #expect(end <= geometry.pageByteCount, "the last block runs past its page")
      // No further block would fit behind the last.
      #expect(
        geometry.index(at: geometry.offset(of: geometry.blocksPerPage)) == nil,
        "a place behind the last block is not a block")
    }
  }
}
