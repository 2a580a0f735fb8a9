// peers/store.hpp: the records in an LMDB file of the data directory. One writer (memory), any number of readers.
// Keys     "p" and the peer's key, "s" and the site's name, "e" and an address, "m" and an MX set or address, "q" and an MX set, "f" and a
//          portrait_key(), "d" and what was forgotten. Values: stored.proto.
// Writing  keep() gathers, write() commits what was gathered in one transaction and may be called on a helper thread while keep() goes on.
//          A kill loses what was not written, a power cut the last transactions; the file stays whole.
// Bounded  `capacity` peers and as many sites, a quarter as many portraits; those not seen for longest go first.
// Reading  without locks and without waiting: the last committed state; a look during which two were committed is taken again.
// Errors   a file that cannot be used is set aside (NAME.bad) and begun anew: it is knowledge, not mail. A reader without a file knows nothing.
#pragma once

#include "base/error.hpp"
#include "peers/book.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::peers {

inline constexpr std::string_view store_name = "peers.lmdb";

class Store final : public Shelf {
public:
    /// Reads all keys: at start. `trouble`: what was wrong with a file that was set aside.
    static Result<std::unique_ptr<Store>> open(const std::string& path, std::size_t capacity, std::string* trouble = nullptr);
    ~Store() override;

    std::optional<Record> peer(const std::string& key) override;
    std::optional<SiteRecord> site(const std::string& key) override;
    std::optional<EarlyRecord> early(const std::string& address) override;
    std::optional<Manners> manners(const std::string& name) override;
    void keep(const std::string& name, const Manners& manners) override;
    void keep(const std::string& key, const Record& record) override;
    void keep(const std::string& address, const EarlyRecord& record) override;
    void keep(const std::string& key, const SiteRecord& record) override;
    void drop_peer(const std::string& key) override;
    void drop_manners(const std::string& name) override;
    std::optional<Portrait> portrait(const std::string& key) override;
    void keep(const std::string& key, const Portrait& portrait) override;
    void drop_portrait(const std::string& key) override;
    std::optional<WallTime> forgotten(const std::string& name) override;
    void keep_forgotten(const std::string& name, WallTime when) override;
    /// The keys of all portraits.
    std::vector<std::string> portraits() const;
    /// None: nothing is held back any more.
    void keep(const std::string& set, const std::optional<Restraint>& restraint);
    /// The keys of all peers, those seen last first.
    std::vector<std::string> keys() const;
    /// Of which it is kept who may be spoken to early there, or which segments arrive.
    std::vector<std::string> addresses() const;
    /// Of all MX sets, and hosts that greylist, of which something is kept.
    std::vector<std::string> sets() const;
    bool restrained(const std::string& set) const;

    /// What is to be written; empty: nothing is.
    struct Batch;
    std::shared_ptr<Batch> take();
    Result<void> write(const Batch& batch);
    /// take() and write().
    Result<void> flush();

    std::size_t peers() const;

private:
    struct Core;
    explicit Store(std::unique_ptr<Core> core);
    std::unique_ptr<Core> core_;
};

/// What another process reads of it. The file may come later.
class StoredShelf final : public Shelf {
public:
    explicit StoredShelf(std::string path);
    ~StoredShelf() override;
    std::optional<Record> peer(const std::string& key) override;
    std::optional<SiteRecord> site(const std::string& key) override;
    std::optional<EarlyRecord> early(const std::string& address) override;
    std::optional<Manners> manners(const std::string& name) override;

    /// All of the file but who may be spoken to early, for who lists it: a copy of one committed state. Error: it cannot be read; a file that is not there
    /// has none.
    struct All {
        std::vector<Record> peers;
        std::vector<std::pair<std::string, SiteRecord>> sites;
        std::vector<std::pair<std::string, Manners>> manners;  // by MX set, or by address
        std::vector<std::pair<std::string, Restraint>> restraints;  // by MX set
        std::vector<Portrait> portraits;
        std::vector<std::pair<std::string, PathRecord>> ways;  // by address
    };
    Result<All> all();

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::peers
