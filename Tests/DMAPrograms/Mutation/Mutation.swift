public import DMAChecker

/// One way to make a legal program wrong.
public struct Mutation: Sendable, CustomStringConvertible {
  /// Changes a program; false when it has no place for this.
  typealias Change = @Sendable (inout [Op], inout any RandomNumberGenerator) -> Bool

  public let name: String
  /// The rule that the change breaks.
  public let rules: [CheckRule]
  /// Whether the change breaks a rule of the document whatever the machine then does.
  ///
  /// Otherwise only harm that the machine shows makes it a bug.
  public let isContract: Bool
  /// Whether it makes sense with this mapping.
  let accepts: @Sendable (ProgramSetup) -> Bool
  /// Whether it takes guard pages to see.
  public let isGuarded: Bool
  /// Why a mutant may be no bug at all.
  public let equivalence: String
  let change: Change

  init(
    _ name: String, _ rules: [CheckRule], isContract: Bool = false, isGuarded: Bool = false,
    equivalence: String = "", accepts: @escaping @Sendable (ProgramSetup) -> Bool = { _ in true },
    _ change: @escaping Change
  ) {
    self.name = name
    self.rules = rules
    self.isContract = isContract
    self.isGuarded = isGuarded
    self.equivalence = equivalence
    self.accepts = accepts
    self.change = change
  }

  public var description: String { name }
}

/// Places in a program.
struct Places {
  let program: [Op]

  init(_ program: [Op]) { self.program = program }

  func all(_ kinds: Op.Kind..., where accepts: (Op) -> Bool = { _ in true }) -> [Int] {
    program.indices.filter { kinds.contains(program[$0].kind) && accepts(program[$0]) }
  }

  /// What made an item.
  func maker(of item: Int) -> Op? {
    program.first {
      [.map, .mapList, .mapValue, .allocate, .poolAllocate].contains($0.kind) && $0.item == item
    }
  }

  /// Where an item ends.
  func end(of item: Int) -> Int? {
    program.firstIndex {
      [.unmap, .unmapList, .unmapValue, .free, .poolFree].contains($0.kind) && $0.item == item
    }
  }
}

/// Changes one step of a kind.
func changing(
  _ kinds: Op.Kind..., where accepts: @escaping @Sendable (Op, Places) -> Bool = { _, _ in true },
  _ body: @escaping @Sendable (inout Op, Places) -> Void
) -> Mutation.Change {
  { program, random in
    let places = Places(program)
    let found = program.indices.filter {
      kinds.contains(program[$0].kind) && accepts(program[$0], places)
    }
    guard let index = found.randomElement(using: &random) else { return false }
    body(&program[index], places)
    return true
  }
}

/// Removes one step of a kind.
func removing(
  _ kinds: Op.Kind..., where accepts: @escaping @Sendable (Int, Places) -> Bool = { _, _ in true }
) -> Mutation.Change {
  { program, random in
    let places = Places(program)
    let found = program.indices.filter {
      kinds.contains(program[$0].kind) && accepts($0, places)
    }
    guard let index = found.randomElement(using: &random) else { return false }
    program.remove(at: index)
    return true
  }
}

/// Puts steps made from one of a kind right behind it, or before it.
func inserting(
  _ place: InsertionPlace, _ kinds: Op.Kind...,
  where accepts: @escaping @Sendable (Op, Places) -> Bool = { _, _ in true },
  _ body: @escaping @Sendable (Op, Places) -> [Op]
) -> Mutation.Change {
  { program, random in
    let places = Places(program)
    let found = program.indices.filter {
      kinds.contains(program[$0].kind) && accepts(program[$0], places)
    }
    guard let index = found.randomElement(using: &random) else { return false }
    var steps = body(program[index], places)
    for number in steps.indices { steps[number].line = 10_000 + UInt32(number) }
    program.insert(contentsOf: steps, at: place == .before ? index : index + 1)
    return true
  }
}

enum InsertionPlace { case before, after }
