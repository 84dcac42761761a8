/// A store as it was at one moment: a value that nobody changes, so that its image, which takes long to make when there are
/// many keys, can be made on another thread than the store's.
public struct KeyTreeMoment: Sendable {
    let root: Node
    let history: EventHistory
    let index: UInt64
    let statistics: StoreV2Statistics
    let watchers: Int
    /// The image, if it was made before.
    let image: [UInt8]?
}

extension KeyTree {
    /// The store as it is now.
    public var moment: KeyTreeMoment {
        KeyTreeMoment(
            root: root, history: history, index: index, statistics: statistics, watchers: watcherCount, image: image)
    }

    /// The store's image. It is made anew only when the store has changed.
    public func encoded() -> [UInt8] {
        let made = moment.encoded()
        image = made
        return made
    }
}
