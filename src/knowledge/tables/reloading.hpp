// tables/reloading.hpp: the parsed form of one text file, taken over anew when the file changes. See file.hpp.
#pragma once

#include "tables/source.hpp"
#include "tables/table.hpp"

#include <future>

namespace posthorn::tables {

template <class Snapshot>
class Reloading {
public:
    /// Runs on a helper thread for big files: touches nothing but its arguments and what it returns.
    using Parse = std::function<Result<std::shared_ptr<const Snapshot>>(const std::string& text, Warnings&)>;

    Reloading(const Site& site, std::string path, Parse parse) : site_(site), path_(std::move(path)), parse_(std::move(parse))
    {
        check(site_.clock.steady());
    }
    Reloading(Reloading&&) = delete;

    /// What is in force; the Error while nothing could be loaded yet. Valid until the next call.
    Result<const Snapshot*> current()
    {
        const SteadyTime now = site_.clock.steady();
        if (now - checked_ >= stamp_interval || loading_.valid())
            check(now);
        if (snapshot_) [[likely]]
            return snapshot_.get();
        return error_;
    }

private:
    struct Loaded {
        Result<std::shared_ptr<const Snapshot>> snapshot;
        Warnings warnings;
        FileStamp stamp;
    };

    static Loaded load(Parse parse, Fd fd, FileStamp stamp)
    {
        Loaded loaded{Error{"not read"}, {}, stamp};
        if (auto text = read_all(fd.get()))
            loaded.snapshot = parse(*text, loaded.warnings);
        else
            loaded.snapshot = std::move(text).error();
        return loaded;
    }

    void check(SteadyTime now)
    {
        if (loading_.valid()) {
            if (loading_.wait_for(std::chrono::seconds{0}) == std::future_status::ready)
                adopt(loading_.get());
            return;
        }
        checked_ = now;
        const auto stamp = site_.opener->stamp(path_);
        if (!stamp)
            return failed(stamp.error());
        const bool first = !snapshot_;
        if (!first && *stamp == stamp_)
            return;
        const auto age = site_.clock.wall() - stamp->modified;
        if (!first && age >= std::chrono::seconds{0} && age < stamp_interval)
            return;                                              // still being written, perhaps
        auto fd = site_.opener->open(path_);
        if (!fd)
            return failed(fd.error());
        if (first || stamp->octets <= load_inline_octets)
            adopt(load(parse_, std::move(*fd), *stamp));
        else
            loading_ = std::async(std::launch::async, load, parse_, std::move(*fd), *stamp);
    }

    void adopt(Loaded loaded)
    {
        for (const std::string& warning : loaded.warnings)
            site_.log.warning("{}", warning);
        if (!loaded.snapshot) {
            stamp_ = loaded.stamp;                               // not again before it changes
            return failed(loaded.snapshot.error());
        }
        snapshot_ = std::move(*loaded.snapshot);
        stamp_ = loaded.stamp;
        told_.clear();
    }

    void failed(const Error& error)
    {
        error_ = Error{error.what(), "4.3.0"};
        if (snapshot_ && told_ != error.what())
            site_.log.warning("{}: {}; the version read before stays in force", path_, error.what());
        told_ = error.what();
    }

    const Site& site_;
    std::string path_;
    Parse parse_;
    std::shared_ptr<const Snapshot> snapshot_;
    Error error_{"not read"};
    std::string told_;
    FileStamp stamp_;
    SteadyTime checked_{};
    std::future<Loaded> loading_;
};

}  // namespace posthorn::tables
