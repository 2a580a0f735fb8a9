#include "observe/sinks.hpp"

namespace posthorn::observe {

namespace {

class DirectSink final : public Sink {
public:
    DirectSink(Fd descriptor, LogForm form, std::chrono::milliseconds patience) : outlet_(std::move(descriptor), form, patience) {}

    void write(Level level, std::string_view tag, std::string_view line) override
    {
        Batch alone;
        alone.add(level, ::time(nullptr), tag, line);
        outlet_.put_out(alone);
    }

private:
    Outlet outlet_;
};

}  // namespace

std::shared_ptr<Sink> descriptor_sink(Fd descriptor, LogForm form, std::chrono::milliseconds patience)
{
    return std::make_shared<DirectSink>(std::move(descriptor), form, patience);
}

}  // namespace posthorn::observe
