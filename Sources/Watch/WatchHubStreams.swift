// What clients ask of their streams: watch, cancel, progress.

extension WatchHub {
    /// Opens a stream without watchers.
    public func openStream(_ id: WatchStreamID) {
        guard streamSlots[id] == nil else { return }
        var stream = WatchStream()
        stream.id = id
        if let slot = freeStreams.popLast() {
            streams[Int(slot)] = stream
            streamSlots[id] = slot
        } else {
            streamSlots[id] = Int32(streams.count)
            streams.append(stream)
        }
    }

    /// Closes a stream and forgets its watchers, without a word to the client.
    ///
    /// This and every call for a stream that is not open does nothing: the client may have gone meanwhile.
    public func closeStream(_ id: WatchStreamID) {
        guard let slot = streamSlots.removeValue(forKey: id) else { return }
        streams[Int(slot)].progressRequested = false
        for watcher in streams[Int(slot)].watchers.values.sorted() { drop(watcher) }
        streams[Int(slot)] = WatchStream()
        freeStreams.append(slot)
    }

    /// Starts a watch and answers with its id, or with a refusal under watch id -1.
    public func create(_ request: WatchCreate, on id: WatchStreamID) {
        guard let stream = streamSlots[id] else { return }
        guard request.startRevision >= 0 else {
            return refuse(stream, reason: "etcdserver: mvcc: required revision has been compacted")
        }
        guard let keys = WatchedKeys(request) else {
            return refuse(stream, reason: "mvcc: watcher range is empty")
        }
        guard table.count < options.maximumWatchers else {
            return refuse(stream, reason: "etcdserver: too many requests")
        }
        if request.watchID != 0, streams[Int(stream)].watchers[request.watchID] != nil {
            return refuse(stream, reason: "mvcc: duplicate watch ID provided on the WatchStream")
        }
        let watchID = request.watchID != 0 ? request.watchID : freeWatchID(stream)
        let needed = request.startRevision == 0 ? currentRevision + 1 : request.startRevision
        let slot = table.insert(
            Watcher(keys: keys, watchID: watchID, needed: needed, stream: stream, traits: Watcher.Traits(request)))
        streams[Int(stream)].watchers[watchID] = slot
        var head = ResponseHead(watchID: watchID)
        head.created = true
        queue(stream, watchID, head: head.encoded(header: headers.header(revision: currentRevision)))
        if needed > currentRevision {
            insert(slot, index: syncedIndex)
        } else {
            streams[Int(stream)].laggingCount += 1
            slowWatcherCount += 1
            enrol(slot)
        }
    }

    /// Answers a request to watch that the shell does not allow, for instance for want of permission.
    public func refuse(on id: WatchStreamID, reason: String) {
        guard let stream = streamSlots[id] else { return }
        refuse(stream, reason: reason)
    }

    /// Ends a watch and says so. An id that is not in use gets no answer, as in etcd.
    public func cancel(watchID: Int64, on id: WatchStreamID) {
        guard let stream = streamSlots[id], let slot = streams[Int(stream)].watchers[watchID] else { return }
        drop(slot)
        var head = ResponseHead(watchID: watchID)
        head.canceled = true
        queue(stream, watchID, head: head.encoded(header: headers.header(revision: currentRevision)))
        reportProgressIfDue(stream)
    }

    /// Asks for a report of the revision that all watchers of the stream have reached, under watch id -1.
    ///
    /// It is given as soon as all of them are synced and the stream can be written, so that it never overtakes an
    /// event; requests until then are answered together.
    public func requestProgress(on id: WatchStreamID) {
        guard let stream = streamSlots[id] else { return }
        streams[Int(stream)].progressRequested = true
        reportProgressIfDue(stream)
    }

    /// Reports the current revision to the stream's watchers that asked for it (`progress_notify`), are synced and were
    /// sent no event since the last tick.
    public func progressTick(on id: WatchStreamID) {
        guard let stream = streamSlots[id], !streams[Int(stream)].isBlocked else { return }
        for watchID in streams[Int(stream)].watchers.keys.sorted() {
            guard let slot = streams[Int(stream)].watchers[watchID] else { continue }
            let watcher = table[slot]
            table[slot].traits.remove(.busy)
            guard watcher.traits.contains(.progressNotify), !watcher.traits.contains(.busy) else { continue }
            guard watcher.place == .index(UInt8(syncedIndex)) else { continue }
            let header = headers.header(revision: currentRevision)
            queue(stream, watchID, head: ResponseHead(watchID: watchID).encoded(header: header))
        }
    }

    /// Notes that deliveries of `bytes` in sum have left the stream's buffer; when enough of them have, its set-aside
    /// watchers go on.
    public func streamWritten(_ id: WatchStreamID, bytes: Int) {
        guard let stream = streamSlots[id] else { return }
        let pending = max(0, streams[Int(stream)].pendingBytes - max(0, bytes))
        streams[Int(stream)].pendingBytes = pending
        guard streams[Int(stream)].isBlocked, pending <= options.streamByteLimit / 2 else { return }
        streams[Int(stream)].isBlocked = false
        for slot in streams[Int(stream)].setAside.members(in: table) {
            streams[Int(stream)].setAside.remove(slot, in: &table)
            enrol(slot)
        }
        reportProgressIfDue(stream)
    }

    /// Answers a progress request when nothing stands in the way any more.
    func reportProgressIfDue(_ stream: Int32) {
        let state = streams[Int(stream)]
        guard state.progressRequested, state.laggingCount == 0, !state.isBlocked else { return }
        streams[Int(stream)].progressRequested = false
        let head = ResponseHead(watchID: ResponseHead.noWatcher)
        queue(stream, head.watchID, head: head.encoded(header: headers.header(revision: currentRevision)))
    }

    private func refuse(_ stream: Int32, reason: String) {
        var head = ResponseHead(watchID: ResponseHead.noWatcher)
        head.created = true
        head.canceled = true
        head.cancelReason = reason
        queue(stream, head.watchID, head: head.encoded(header: headers.header(revision: currentRevision)))
    }

    private func freeWatchID(_ stream: Int32) -> Int64 {
        var id = streams[Int(stream)].nextID
        while streams[Int(stream)].watchers[id] != nil { id += 1 }
        streams[Int(stream)].nextID = id + 1
        return id
    }
}

extension Watcher.Traits {
    /// The traits that a request asks for.
    init(_ request: WatchCreate) {
        self = []
        if request.excludesPuts { insert(.excludesPuts) }
        if request.excludesDeletes { insert(.excludesDeletes) }
        if request.previousKeyValue { insert(.previousKeyValue) }
        if request.fragments { insert(.fragments) }
        if request.progressNotify { insert(.progressNotify) }
    }
}
