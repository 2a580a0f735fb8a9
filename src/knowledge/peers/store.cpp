#include "peers/store.hpp"

#include "peers/stored.hpp"

#include <list>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include <lmdb.h>
#include <sys/stat.h>

namespace posthorn::peers {

namespace {

constexpr std::size_t map_octets = std::size_t{1} << 30;    // of address space; the file is as large as what it holds
constexpr std::size_t stored_key_octets = 500;              // LMDB takes 511
constexpr std::size_t portraits_share = 4;                  // of the capacity: they are larger than what else is kept

struct CloseEnv {
    void operator()(MDB_env* env) const { mdb_env_close(env); }
};
using Env = std::unique_ptr<MDB_env, CloseEnv>;
struct AbortTxn {
    void operator()(MDB_txn* txn) const { mdb_txn_abort(txn); }
};
using Txn = std::unique_ptr<MDB_txn, AbortTxn>;

Error trouble_of(std::string_view path, int code)
{
    return Error{fmt::format("{}: {}", path, code > 0 ? errno_text(code) : mdb_strerror(code)), "4.3.0"};
}
std::string_view view_of(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }
MDB_val val_of(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string key_with(char kind, std::string_view key) { return kind + std::string(key.substr(0, stored_key_octets)); }

Result<Env> open_env(const std::string& path, unsigned flags, MDB_dbi* dbi)
{
    MDB_env* raw = nullptr;
    if (const int code = mdb_env_create(&raw); code != 0)
        return trouble_of(path, code);
    Env env(raw);
    int code = (flags & MDB_RDONLY) != 0 ? 0 : mdb_env_set_mapsize(raw, map_octets);
    if (code == 0)
        code = mdb_env_open(raw, path.c_str(), flags | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (code != 0)
        return trouble_of(path, code);
    MDB_txn* begun = nullptr;
    if (code = mdb_txn_begin(raw, nullptr, flags & MDB_RDONLY, &begun); code != 0)
        return trouble_of(path, code);
    Txn txn(begun);
    if (code = mdb_dbi_open(begun, nullptr, 0, dbi); code != 0)
        return trouble_of(path, code);
    if (code = mdb_txn_commit(txn.release()); code != 0)
        return trouble_of(path, code);
    MDB_envinfo info{};
    MDB_stat pages{};
    mdb_env_info(raw, &info);
    mdb_env_stat(raw, &pages);
    struct ::stat status{};
    if (::stat(path.c_str(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) < (std::uint64_t{info.me_last_pgno} + 1) * pages.ms_psize)
        return Error{fmt::format("{}: the file is truncated", path), "4.3.0"};
    return env;
}

}  // namespace

struct Store::Batch {
    std::map<std::string, std::optional<std::string>> changes;      // none: to be removed
};

struct Store::Core {
    struct Kind {
        std::list<std::string> order;                               // seen last comes first
        std::unordered_map<std::string, std::list<std::string>::iterator> places;
    };

    std::string path;
    std::size_t capacity = 0;
    std::mutex at_file;                         // without LMDB's locks, no reader of this process may run beside its writer
    Env env;
    MDB_dbi dbi = 0;
    Kind peers, sites, addresses, manners, restraints, portraits, forgotten;
    std::shared_ptr<Batch> pending = std::make_shared<Batch>(), writing;

    void touch(Kind& kind, const std::string& key)
    {
        if (const auto known = kind.places.find(key); known != kind.places.end()) {
            kind.order.splice(kind.order.begin(), kind.order, known->second);
            return;
        }
        kind.order.push_front(key);
        kind.places.emplace(key, kind.order.begin());
        while (kind.order.size() > (&kind == &portraits ? std::max<std::size_t>(capacity / portraits_share, 1) : capacity)) {
            pending->changes[kind.order.back()] = std::nullopt;
            kind.places.erase(kind.order.back());
            kind.order.pop_back();
        }
    }

    void drop(Kind& kind, const std::string& key)
    {
        if (const auto known = kind.places.find(key); known != kind.places.end()) {
            kind.order.erase(known->second);
            kind.places.erase(known);
        }
        pending->changes[key] = std::nullopt;
    }

    std::optional<std::string> find(const std::string& key)
    {
        for (const auto& batch : {pending, writing})
            if (batch)
                if (const auto at = batch->changes.find(key); at != batch->changes.end())
                    return at->second;
        const std::lock_guard guard(at_file);
        MDB_txn* begun = nullptr;
        if (mdb_txn_begin(env.get(), nullptr, MDB_RDONLY, &begun) != 0)
            return std::nullopt;
        const Txn txn(begun);
        MDB_val wanted = val_of(key), value{};
        if (mdb_get(begun, dbi, &wanted, &value) != 0)
            return std::nullopt;
        return std::string(view_of(value));
    }

    /// The keys in the order they were last seen, and those that are no records of ours removed.
    Result<void> load()
    {
        MDB_txn* begun = nullptr;
        if (const int code = mdb_txn_begin(env.get(), nullptr, MDB_RDONLY, &begun); code != 0)
            return trouble_of(path, code);
        const Txn txn(begun);
        MDB_cursor* cursor = nullptr;
        if (const int code = mdb_cursor_open(begun, dbi, &cursor); code != 0)
            return trouble_of(path, code);
        std::vector<std::pair<WallTime, std::string>> found_peers, found_sites, found_addresses, found_manners, found_restraints, found_portraits,
            found_forgotten;
        MDB_val key{}, value{};
        int code = 0;
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
            const std::string name(view_of(key));
            if (const auto record = name.starts_with('p') ? record_of(view_of(value)) : std::nullopt)
                found_peers.emplace_back(record->last, name);
            else if (const auto shared = name.starts_with('s') ? site_of(view_of(value)) : std::nullopt)
                found_sites.emplace_back(shared->last, name);
            else if (const auto early = name.starts_with('e') ? early_record_of(view_of(value)) : std::nullopt)
                found_addresses.emplace_back(early->last, name);
            else if (const auto kept = name.starts_with('m') ? manners_of(view_of(value)) : std::nullopt)
                found_manners.emplace_back(kept->last, name);
            else if (const auto held = name.starts_with('q') ? restraint_of(view_of(value)) : std::nullopt)
                found_restraints.emplace_back(held->last, name);
            else if (const auto shown = name.starts_with('f') ? portrait_of(view_of(value)) : std::nullopt)
                found_portraits.emplace_back(shown->last, name);
            else if (const auto when = name.starts_with('d') ? forgotten_of(view_of(value)) : std::nullopt)
                found_forgotten.emplace_back(*when, name);
            else
                pending->changes[name] = std::nullopt;
        }
        mdb_cursor_close(cursor);
        if (code != MDB_NOTFOUND)
            return trouble_of(path, code);
        std::ranges::sort(found_peers);
        std::ranges::sort(found_sites);
        std::ranges::sort(found_addresses);
        std::ranges::sort(found_manners);
        std::ranges::sort(found_restraints);
        std::ranges::sort(found_portraits);
        std::ranges::sort(found_forgotten);
        for (const auto& [when, name] : found_peers)
            touch(peers, name);
        for (const auto& [when, name] : found_sites)
            touch(sites, name);
        for (const auto& [when, name] : found_addresses)
            touch(addresses, name);
        for (const auto& [when, name] : found_manners)
            touch(manners, name);
        for (const auto& [when, name] : found_restraints)
            touch(restraints, name);
        for (const auto& [when, name] : found_portraits)
            touch(portraits, name);
        for (const auto& [when, name] : found_forgotten)
            touch(forgotten, name);
        return {};
    }
};

Store::Store(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(const std::string& path, std::size_t capacity, std::string* trouble)
{
    for (int attempt = 0;; ++attempt) {
        auto core = std::make_unique<Core>();
        core->path = path;
        core->capacity = std::max<std::size_t>(capacity, 1);
        Result<void> opened;
        if (auto env = open_env(path, MDB_CREATE, &core->dbi)) {
            core->env = *std::move(env);
            opened = core->load();
        } else {
            opened = env.error();
        }
        if (opened)
            return std::unique_ptr<Store>(new Store(std::move(core)));
        const Error& why = opened.error();
        const std::string aside = path + ".bad";
        if (attempt != 0 || ::rename(path.c_str(), aside.c_str()) != 0)
            return why;
        if (trouble)
            *trouble = why.text();
    }
}

std::optional<Record> Store::peer(const std::string& key)
{
    const auto octets = core_->find(key_with('p', key));
    return octets ? record_of(*octets) : std::nullopt;
}

std::optional<SiteRecord> Store::site(const std::string& key)
{
    const auto octets = core_->find(key_with('s', key));
    return octets ? site_of(*octets) : std::nullopt;
}

std::optional<EarlyRecord> Store::early(const std::string& address)
{
    const auto octets = core_->find(key_with('e', address));
    return octets ? early_record_of(*octets) : std::nullopt;
}

std::optional<Manners> Store::manners(const std::string& name)
{
    const auto octets = core_->find(key_with('m', name));
    return octets ? manners_of(*octets) : std::nullopt;
}

void Store::keep(const std::string& of, const Manners& manners)
{
    const std::string name = key_with('m', of);
    core_->touch(core_->manners, name);
    core_->pending->changes[name] = octets_of(manners);
}

void Store::keep(const std::string& address, const EarlyRecord& record)
{
    const std::string name = key_with('e', address);
    core_->touch(core_->addresses, name);
    core_->pending->changes[name] = octets_of(record);
}

void Store::keep(const std::string& key, const Record& record)
{
    const std::string name = key_with('p', key);
    core_->touch(core_->peers, name);
    core_->pending->changes[name] = octets_of(record);
}

void Store::keep(const std::string& key, const SiteRecord& record)
{
    const std::string name = key_with('s', key);
    core_->touch(core_->sites, name);
    core_->pending->changes[name] = octets_of(record);
}

void Store::drop_peer(const std::string& key) { core_->drop(core_->peers, key_with('p', key)); }

void Store::drop_manners(const std::string& name) { core_->drop(core_->manners, key_with('m', name)); }

std::optional<Portrait> Store::portrait(const std::string& key)
{
    const auto octets = core_->find(key_with('f', key));
    return octets ? portrait_of(*octets) : std::nullopt;
}

void Store::keep(const std::string& key, const Portrait& portrait)
{
    const std::string name = key_with('f', key);
    core_->touch(core_->portraits, name);
    core_->pending->changes[name] = octets_of(portrait);
}

void Store::drop_portrait(const std::string& key) { core_->drop(core_->portraits, key_with('f', key)); }

std::optional<WallTime> Store::forgotten(const std::string& name)
{
    const auto octets = core_->find(key_with('d', name));
    return octets ? forgotten_of(*octets) : std::nullopt;
}

void Store::keep_forgotten(const std::string& name, WallTime when)
{
    const std::string key = key_with('d', name);
    core_->touch(core_->forgotten, key);
    core_->pending->changes[key] = octets_of_forgotten(when);
}

std::vector<std::string> Store::portraits() const
{
    std::vector<std::string> found;
    for (const std::string& name : core_->portraits.order)
        found.push_back(name.substr(1));
    return found;
}

void Store::keep(const std::string& set, const std::optional<Restraint>& restraint)
{
    const std::string name = key_with('q', set);
    if (!restraint)
        return core_->drop(core_->restraints, name);
    core_->touch(core_->restraints, name);
    core_->pending->changes[name] = octets_of(*restraint);
}

std::vector<std::string> Store::sets() const
{
    std::set<std::string> found;
    for (const Core::Kind* kind : {&core_->manners, &core_->restraints})
        for (const std::string& name : kind->order)
            found.insert(name.substr(1));
    return {found.begin(), found.end()};
}

bool Store::restrained(const std::string& set) const { return core_->restraints.places.contains(key_with('q', set)); }

std::vector<std::string> Store::keys() const
{
    std::vector<std::string> found;
    for (const std::string& name : core_->peers.order)
        found.push_back(name.substr(1));
    return found;
}

std::vector<std::string> Store::addresses() const
{
    std::vector<std::string> found;
    for (const std::string& name : core_->addresses.order)
        found.push_back(name.substr(1));
    return found;
}

std::shared_ptr<Store::Batch> Store::take()
{
    if (core_->pending->changes.empty())
        return nullptr;
    core_->writing = std::exchange(core_->pending, std::make_shared<Batch>());
    return core_->writing;
}

Result<void> Store::write(const Batch& batch)
{
    const std::lock_guard guard(core_->at_file);
    MDB_txn* begun = nullptr;
    if (const int code = mdb_txn_begin(core_->env.get(), nullptr, 0, &begun); code != 0)
        return trouble_of(core_->path, code);
    Txn txn(begun);
    for (const auto& [key, octets] : batch.changes) {
        MDB_val name = val_of(key), value = octets ? val_of(*octets) : MDB_val{};
        const int code = octets ? mdb_put(begun, core_->dbi, &name, &value, 0) : mdb_del(begun, core_->dbi, &name, nullptr);
        if (code != 0 && code != MDB_NOTFOUND)
            return trouble_of(core_->path, code);
    }
    if (const int code = mdb_txn_commit(txn.release()); code != 0)
        return trouble_of(core_->path, code);
    return {};
}

Result<void> Store::flush()
{
    if (const auto batch = take())
        return write(*batch);
    return {};
}

std::size_t Store::peers() const { return core_->peers.order.size(); }

struct StoredShelf::Core {
    std::string path;
    Env env;
    MDB_dbi dbi = 0;
    MDB_txn* txn = nullptr;
    ::ino_t inode = 0;

    ~Core() { shut(); }
    void shut()
    {
        if (txn)
            mdb_txn_abort(std::exchange(txn, nullptr));
        env.reset();
    }

    bool ready()
    {
        struct ::stat status{};
        if (env && ::stat(path.c_str(), &status) == 0 && status.st_ino != inode)
            shut();                             // it was set aside and begun anew
        if (env)
            return true;
        if (::stat(path.c_str(), &status) != 0)
            return false;
        auto opened = open_env(path, MDB_RDONLY, &dbi);
        if (!opened)
            return false;
        env = *std::move(opened);
        inode = status.st_ino;
        return true;
    }

    int begin()
    {
        if (txn && mdb_txn_renew(txn) == 0)
            return 0;
        if (txn)
            mdb_txn_abort(std::exchange(txn, nullptr));
        int code = mdb_txn_begin(env.get(), nullptr, MDB_RDONLY, &txn);
        if (code == MDB_MAP_RESIZED && (code = mdb_env_set_mapsize(env.get(), 0)) == 0)
            code = mdb_txn_begin(env.get(), nullptr, MDB_RDONLY, &txn);
        return code;
    }

    std::optional<std::string> find(const std::string& key)
    {
        if (!ready())
            return std::nullopt;
        const auto last = [&] {
            MDB_envinfo info{};
            mdb_env_info(env.get(), &info);
            return info.me_last_txnid;
        };
        for (int tries = 0; tries < 5; ++tries) {
            if (begin() != 0)
                return std::nullopt;
            const auto before = last();
            std::optional<std::string> octets;
            MDB_val wanted = val_of(key), value{};
            if (mdb_get(txn, dbi, &wanted, &value) == 0)
                octets.emplace(view_of(value));
            const auto after = last();
            mdb_txn_reset(txn);
            if (after - before < 2)
                return octets;
        }
        return std::nullopt;
    }

    Result<All> all()
    {
        struct ::stat status{};
        if (::stat(path.c_str(), &status) != 0)
            return errno == ENOENT ? Result<All>(All{}) : system_error("open " + path, errno);
        if (status.st_size == 0)                // its writer has just made it, and LMDB would write its first pages for whoever opens it
            return All{};
        if (!ready()) {
            MDB_dbi ignored = 0;
            const auto opened = open_env(path, MDB_RDONLY, &ignored);
            return opened ? Error{path + ": it changes too fast", "4.3.0"} : opened.error();
        }
        for (int tries = 0; tries < 20; ++tries) {
            if (const int code = begin(); code != 0)
                return trouble_of(path, code);
            MDB_envinfo before{}, after{};
            mdb_env_info(env.get(), &before);
            All found;
            MDB_cursor* cursor = nullptr;
            int code = mdb_cursor_open(txn, dbi, &cursor);
            MDB_val key{}, value{};
            while (code == 0 && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
                const std::string_view name = view_of(key);
                if (auto record = name.starts_with('p') ? record_of(view_of(value)) : std::nullopt)
                    found.peers.push_back(*std::move(record));
                else if (auto shared = name.starts_with('s') ? site_of(view_of(value)) : std::nullopt)
                    found.sites.emplace_back(name.substr(1), *std::move(shared));
                else if (auto kept = name.starts_with('m') ? manners_of(view_of(value)) : std::nullopt)
                    found.manners.emplace_back(name.substr(1), *std::move(kept));
                else if (auto held = name.starts_with('q') ? restraint_of(view_of(value)) : std::nullopt)
                    found.restraints.emplace_back(name.substr(1), *std::move(held));
                else if (auto shown = name.starts_with('f') ? portrait_of(view_of(value)) : std::nullopt)
                    found.portraits.push_back(*std::move(shown));
                else if (const auto early = name.starts_with('e') ? early_record_of(view_of(value)) : std::nullopt;
                         early && early->path != PathRecord{})
                    found.ways.emplace_back(name.substr(1), early->path);
            }
            if (cursor)
                mdb_cursor_close(cursor);
            mdb_env_info(env.get(), &after);
            mdb_txn_reset(txn);
            // A page may be written anew by the second transaction after ours, not before.
            if (after.me_last_txnid - before.me_last_txnid < 2)
                return code == MDB_NOTFOUND ? Result<All>(std::move(found)) : trouble_of(path, code);
        }
        return Error{path + ": it changes too fast", "4.3.0"};
    }
};

Result<StoredShelf::All> StoredShelf::all() { return core_->all(); }

StoredShelf::StoredShelf(std::string path) : core_(std::make_unique<Core>()) { core_->path = std::move(path); }
StoredShelf::~StoredShelf() = default;

std::optional<Record> StoredShelf::peer(const std::string& key)
{
    const auto octets = core_->find(key_with('p', key));
    return octets ? record_of(*octets) : std::nullopt;
}

std::optional<SiteRecord> StoredShelf::site(const std::string& key)
{
    const auto octets = core_->find(key_with('s', key));
    return octets ? site_of(*octets) : std::nullopt;
}

std::optional<EarlyRecord> StoredShelf::early(const std::string& address)
{
    const auto octets = core_->find(key_with('e', address));
    return octets ? early_record_of(*octets) : std::nullopt;
}

std::optional<Manners> StoredShelf::manners(const std::string& name)
{
    const auto octets = core_->find(key_with('m', name));
    return octets ? manners_of(*octets) : std::nullopt;
}

}  // namespace posthorn::peers
