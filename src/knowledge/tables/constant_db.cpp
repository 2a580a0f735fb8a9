#include "tables/constant_db.hpp"

#include "tables/build_file.hpp"
#include "tables/indexed_file.hpp"

#include <cdb.h>
#include <sys/stat.h>

namespace posthorn::tables {

namespace {

class CdbReader {
public:
    static constexpr bool changes_in_place = false;

    static Result<std::unique_ptr<CdbReader>> open(const std::string& path, FileOpener& opener)
    {
        auto reader = std::make_unique<CdbReader>();
        TRY(reader->fd_, opener.open(path));
        if (::cdb_init(&reader->cdb_, reader->fd_.get()) != 0)
            return Error{fmt::format("open database {}: {}", path, errno == 0 || errno == EPROTO ? "this is no cdb file" : errno_text(errno)),
                         "4.3.0"};
        reader->open_ = true;
        reader->octets_ = reader->octets();
        reader->path_ = path;
        return reader;
    }
    CdbReader() = default;
    CdbReader(CdbReader&&) = delete;
    ~CdbReader()
    {
        if (open_)
            ::cdb_free(&cdb_);
    }

    Answer find(std::string_view key)
    {
        // The library has it mapped: what is cut off from under it would end the process.
        if (octets() < octets_)
            return damaged();
        const std::string with_nul = std::string(key) + '\0';
        for (const std::string_view form : {key, std::string_view{with_nul}}) {
            const int found = ::cdb_find(&cdb_, form.data(), static_cast<unsigned>(form.size()));
            if (found < 0)
                return damaged();
            if (found == 0)
                continue;
            const auto* const value = static_cast<const char*>(::cdb_getdata(&cdb_));
            if (value == nullptr)
                return damaged();
            return std::string(without_nul({value, cdb_datalen(&cdb_)}));
        }
        return std::nullopt;
    }

    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each)
    {
        if (octets() < octets_)
            return damaged();
        unsigned at = 0;
        cdb_seqinit(&at, &cdb_);
        for (int more = 0; (more = ::cdb_seqnext(&at, &cdb_)) != 0;) {
            const auto *const key = static_cast<const char*>(::cdb_getkey(&cdb_)), *const value = static_cast<const char*>(::cdb_getdata(&cdb_));
            if (more < 0 || key == nullptr || value == nullptr)
                return damaged();
            each(without_nul({key, cdb_keylen(&cdb_)}), without_nul({value, cdb_datalen(&cdb_)}));
        }
        return {};
    }

private:
    ::off_t octets() const
    {
        struct ::stat facts{};
        return ::fstat(fd_.get(), &facts) == 0 ? facts.st_size : 0;
    }
    Error damaged() const { return Error{fmt::format("{}: the file is damaged", path_), "4.3.0"}; }

    std::string path_;
    Fd fd_;
    ::cdb cdb_{};
    ::off_t octets_ = 0;
    bool open_ = false;
};

class CdbBuilder final : public GatheringBuilder {
public:
    CdbBuilder(std::string path, const BuildOptions& options) : path_(std::move(path)), options_(options) {}

    Result<Done> commit() override
    {
        return replace_file(path_, options_, [this](const std::string& made, int fd) -> Result<Done> {
            ::cdb_make maker{};
            if (::cdb_make_start(&maker, fd) != 0)
                return system_error("write " + made, errno);
            auto done = write(maker);
            if (::cdb_make_finish(&maker) != 0 && done)
                return system_error("write " + made, errno);
            return done;
        });
    }

private:
    Result<Done> write(::cdb_make& maker) const
    {
        Done done{.name = path_.substr(0, path_.size() - 4)};
        const bool nul = options_.nul == BuildOptions::Nul::with;
        const auto mode = options_.duplicate == BuildOptions::Duplicate::replace ? CDB_PUT_REPLACE : CDB_PUT_INSERT;
        for (const Change& change : changes()) {
            const auto size = [nul](const std::string& text) { return static_cast<unsigned>(text.size() + (nul ? 1 : 0)); };
            const int code = ::cdb_make_put(&maker, change.key.c_str(), size(change.key), change.value.c_str(), size(change.value), mode);
            if (code < 0)
                return system_error("write " + path_, errno);
            if (code > 0 && mode == CDB_PUT_INSERT && options_.duplicate == BuildOptions::Duplicate::warn)
                done.duplicates.push_back(change.key);
        }
        return done;
    }

    std::string path_;
    BuildOptions options_;
};

}  // namespace

std::shared_ptr<Table> open_cdb(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<IndexedFileTable<CdbReader>>(std::move(spec), name + ".cdb", flags, tables.site());
}

std::unique_ptr<Builder> build_cdb(const std::string& name, const BuildOptions& options)
{
    return std::make_unique<CdbBuilder>(name + ".cdb", options);
}

}  // namespace posthorn::tables
