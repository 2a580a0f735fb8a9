// tables/indexed_file.hpp: a table in a database file that stays open: lmdb, hash, btree, cdb.
// Reader   static open(path, opener) -> Result<unique_ptr<Reader>>; find(key) and visit(each); `changes_in_place`: the library itself
//          sees what a writer changes in the file, so that only another file under the name is opened anew.
// Errors   a new version that cannot be opened leaves the old one in force, with a warning.
#pragma once

#include "tables/fixed.hpp"

namespace posthorn::tables {

template <class Reader>
class IndexedFileTable final : public Table {
public:
    IndexedFileTable(std::string spec, std::string path, Flags flags, const Site& site)
        : Table(std::move(spec)), path_(std::move(path)), flags_(flags), site_(site)
    {
        check();
    }
    Answer find(std::string_view key) override
    {
        if (site_.clock.steady() - checked_ >= stamp_interval)
            check();
        if (!reader_)
            return error_;
        return find_folded(key, flags_, [this](std::string_view folded) { return reader_->find(folded); });
    }
    std::optional<Error> broken() override { return reader_ ? std::nullopt : std::optional{error_}; }
    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each) override
    {
        if (!reader_)
            return error_;
        return reader_->visit(each);
    }

private:
    void check()
    {
        checked_ = site_.clock.steady();
        const auto stamp = site_.opener->stamp(path_);
        if (!stamp) {
            error_ = database_error(stamp.error());
            return;                                              // what is open stays open, gone from the disk or not
        }
        if (reader_ && stamp->device == stamp_.device && stamp->inode == stamp_.inode && (Reader::changes_in_place || *stamp == stamp_))
            return;
        auto reader = Reader::open(path_, *site_.opener);
        if (!reader) {
            error_ = database_error(reader.error());
            if (reader_ && stamp_ != *stamp)
                site_.log.warning("{}; the file opened before stays in force", error_.what());
            return;
        }
        reader_ = std::move(*reader);
        stamp_ = *stamp;
    }
    static Error database_error(const Error& error)
    {
        const std::string& what = error.what();
        return Error{what.starts_with("open ") && !what.starts_with("open database") ? "open database " + what.substr(5) : what, "4.3.0"};
    }

    std::string path_;
    Flags flags_;
    const Site& site_;
    std::unique_ptr<Reader> reader_;
    FileStamp stamp_;
    Error error_{"not opened"};
    SteadyTime checked_{};
};

/// What is stored may end with the NUL of C's strings (postmap -N).
inline std::string_view without_nul(std::string_view text) { return text.ends_with('\0') ? text.substr(0, text.size() - 1) : text; }

}  // namespace posthorn::tables
