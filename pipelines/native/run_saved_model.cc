// Loads a SavedModel as TensorFlow Serving does, without Python, and asks it.
//
//   run_saved_model MODEL REQUESTS [--answers FILE] [--threads N]
//     [--clients N --queries N]                            one after the other
//     [--clients N --rate PER_SECOND --seconds S --seed N] as they arrive
//     [--latencies FILE]
//
// REQUESTS and the answers are TFRecords of `tensorflow.NameAttrList`: the name is the
// signature's, the attributes are tensors, "inputs/..." and "outputs/..."; an answer has
// the string "error" in place of outputs. Outputs of a request are what is expected.
// What was found is JSON on the standard output; the program fails where the model does
// not load.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/public/session.h"

namespace {

using Clock = std::chrono::steady_clock;
using tensorflow::DataType;
using tensorflow::NameAttrList;
using tensorflow::SavedModelBundle;
using tensorflow::SignatureDef;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::errors::InvalidArgument;
using Named = std::map<std::string, Tensor>;

constexpr double kRelative = 1e-4, kAbsolute = 1e-5;  // as in serving/answers.py

struct Request {
  std::string signature;
  Named inputs, expected;
};

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string Quoted(const std::string& text) {
  std::ostringstream out;
  out << '"';
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out << '\\' << c;
    } else if (c < 32 || c > 126) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out << code;
    } else {
      out << c;
    }
  }
  out << '"';
  return out.str();
}

std::string Number(double value) {
  if (!std::isfinite(value)) return "null";
  std::ostringstream out;
  out.precision(9);
  out << value;
  return out.str();
}

void Must(const Status& status) {
  if (status.ok()) return;
  std::cout << "{\"error\": " << Quoted(std::string(status.message())) << "}\n";
  std::exit(1);
}

// ---- files

Named Tensors(const NameAttrList& record, const std::string& side) {
  Named tensors;
  for (const auto& [name, value] : record.attr()) {
    if (name.rfind(side, 0) != 0) continue;
    Tensor tensor;
    if (!tensor.FromProto(value.tensor()))
      Must(InvalidArgument("The request has no tensor in ", name));
    tensors[name.substr(side.size())] = tensor;
  }
  return tensors;
}

std::vector<Request> ReadRequests(const std::string& path) {
  std::unique_ptr<tensorflow::RandomAccessFile> file;
  Must(tensorflow::Env::Default()->NewRandomAccessFile(path, &file));
  tensorflow::io::SequentialRecordReader reader(file.get());
  std::vector<Request> requests;
  tensorflow::tstring record;
  while (true) {
    const Status status = reader.ReadRecord(&record);
    if (tensorflow::errors::IsOutOfRange(status)) return requests;
    Must(status);
    NameAttrList parsed;
    if (!parsed.ParseFromArray(record.data(), record.size()))
      Must(InvalidArgument(path, " has a record that is no NameAttrList"));
    requests.push_back(
        {parsed.name(), Tensors(parsed, "inputs/"), Tensors(parsed, "outputs/")});
  }
}

void WriteAnswer(const std::string& signature, const Status& status,
                 const Named& outputs, tensorflow::io::RecordWriter* writer) {
  NameAttrList record;
  record.set_name(signature);
  for (const auto& [name, tensor] : outputs)
    tensor.AsProtoField((*record.mutable_attr())["outputs/" + name].mutable_tensor());
  if (!status.ok()) (*record.mutable_attr())["error"].set_s(std::string(status.message()));
  Must(writer->WriteRecord(record.SerializeAsString()));
}

// ---- signatures

void PrintTensors(const google::protobuf::Map<std::string, tensorflow::TensorInfo>& side) {
  std::string separator;
  std::cout << '{';
  for (const auto& [name, info] : side) {
    std::cout << separator << Quoted(name) << ": {\"dtype\": " << info.dtype();
    separator = ", ";
    if (info.tensor_shape().unknown_rank()) {
      std::cout << ", \"shape\": null}";
      continue;
    }
    std::cout << ", \"shape\": [";
    for (int i = 0; i < info.tensor_shape().dim_size(); ++i) {
      const int64_t size = info.tensor_shape().dim(i).size();
      std::cout << (i ? ", " : "") << (size < 0 ? "null" : std::to_string(size));
    }
    std::cout << "]}";
  }
  std::cout << '}';
}

void PrintSignatures(const SavedModelBundle& model) {
  std::string separator;
  std::cout << "\"signatures\": {";
  for (const auto& [name, signature] : model.GetSignatures()) {
    if (name.rfind("__saved_model", 0) == 0) continue;
    std::cout << separator << Quoted(name) << ": {\"inputs\": ";
    PrintTensors(signature.inputs());
    std::cout << ", \"outputs\": ";
    PrintTensors(signature.outputs());
    std::cout << '}';
    separator = ", ";
  }
  std::cout << '}';
}

// ---- questions and answers

Status Ask(const SavedModelBundle& model, const Request& request, Named* outputs) {
  const auto& signatures = model.GetSignatures();
  const auto found = signatures.find(request.signature);
  if (found == signatures.end())
    return InvalidArgument("There is no signature `", request.signature, "`.");
  const SignatureDef& signature = found->second;
  for (const auto& [name, tensor] : request.inputs)
    if (!signature.inputs().count(name))
      return InvalidArgument("`", request.signature, "` has no input `", name, "`.");
  std::vector<std::pair<std::string, Tensor>> feeds;
  for (const auto& [name, info] : signature.inputs()) {
    const auto given = request.inputs.find(name);
    if (given == request.inputs.end())
      return InvalidArgument("The input `", name, "` of `", request.signature,
                             "` is missing.");
    if (given->second.dtype() != info.dtype())
      return InvalidArgument("The input `", name, "` must be ",
                             tensorflow::DataTypeString(info.dtype()), ". Got ",
                             tensorflow::DataTypeString(given->second.dtype()), ".");
    if (!tensorflow::PartialTensorShape(info.tensor_shape())
             .IsCompatibleWith(given->second.shape()))
      return InvalidArgument(
          "The input `", name, "` must have the shape ",
          tensorflow::PartialTensorShape(info.tensor_shape()).DebugString(), ". Got ",
          given->second.shape().DebugString(), ".");
    feeds.emplace_back(info.name(), given->second);
  }
  std::vector<std::string> names, fetches;
  for (const auto& [name, info] : signature.outputs()) {
    names.push_back(name);
    fetches.push_back(info.name());
  }
  std::vector<Tensor> values;
  TF_RETURN_IF_ERROR(model.GetSession()->Run(feeds, fetches, {}, &values));
  for (size_t i = 0; i < names.size(); ++i) (*outputs)[names[i]] = values[i];
  return absl::OkStatus();
}

bool Close(double value, double expected) {
  if (std::isnan(expected)) return std::isnan(value);
  if (std::isinf(expected)) return value == expected;
  return std::abs(value - expected) <= kAbsolute + kRelative * std::abs(expected);
}

// Places of the last axis whose scores tie with a neighbour's, or may tie with one that
// is beyond the last place: ids there may be others.
std::vector<bool> Ties(const Named& expected, const Tensor& ids) {
  std::vector<bool> ties(ids.NumElements(), false);
  if (ids.dims() < 2) return ties;
  const int64_t k = ids.dim_size(ids.dims() - 1);
  for (const auto& [name, scores] : expected) {
    if (scores.dtype() != tensorflow::DT_FLOAT || scores.shape() != ids.shape()) continue;
    const auto values = scores.flat<float>();
    for (int64_t i = 0; i < values.size(); ++i) {
      const bool last = i % k == k - 1;
      if (last ? std::isfinite(values(i)) : Close(values(i + 1), values(i))) ties[i] = true;
      if (i % k && Close(values(i - 1), values(i))) ties[i] = true;
    }
  }
  return ties;
}

template <typename T>
int64_t Different(const Tensor& value, const Tensor& expected,
                  const std::vector<bool>& ties) {
  const auto a = value.flat<T>(), b = expected.flat<T>();
  int64_t count = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    if constexpr (std::is_floating_point_v<T>)
      count += !Close(a(i), b(i));
    else
      count += !(a(i) == b(i)) && !ties[i];
  }
  return count;
}

// What differs from the expected outputs; empty where nothing does.
std::string Difference(const Named& expected, const Named& outputs) {
  for (const auto& [name, wanted] : expected) {
    const auto found = outputs.find(name);
    if (found == outputs.end()) return "output `" + name + "` is missing";
    const Tensor& value = found->second;
    if (value.dtype() != wanted.dtype() || value.shape() != wanted.shape())
      return "output `" + name + "` is " + value.DebugString() + " instead of " +
             wanted.DebugString();
    const std::vector<bool> ties = Ties(expected, wanted);
    int64_t count;
    switch (wanted.dtype()) {
#define TFRS_COMPARE(T)                                 \
  case tensorflow::DataTypeToEnum<T>::value:            \
    count = Different<T>(value, wanted, ties);          \
    break;
      TFRS_COMPARE(float)
      TFRS_COMPARE(double)
      TFRS_COMPARE(int32_t)
      TFRS_COMPARE(int64_t)
      TFRS_COMPARE(bool)
      TFRS_COMPARE(tensorflow::tstring)
#undef TFRS_COMPARE
      default:
        return "output `" + name + "` has a type that is not compared";
    }
    if (count) return "output `" + name + "` differs in " + std::to_string(count) +
                      " of " + std::to_string(wanted.NumElements()) + " places";
  }
  return "";
}

void Check(const SavedModelBundle& model, const std::vector<Request>& requests,
           const std::string& answers) {
  std::unique_ptr<tensorflow::WritableFile> file;
  std::unique_ptr<tensorflow::io::RecordWriter> writer;
  if (!answers.empty()) {
    Must(tensorflow::Env::Default()->NewWritableFile(answers, &file));
    writer = std::make_unique<tensorflow::io::RecordWriter>(file.get());
  }
  std::string separator;
  int64_t answered = 0;
  std::cout << ", \"problems\": [";
  for (size_t i = 0; i < requests.size(); ++i) {
    Named outputs;
    const Status status = Ask(model, requests[i], &outputs);
    std::string problem(status.message());
    if (status.ok()) {
      ++answered;
      problem = Difference(requests[i].expected, outputs);
    }
    if (writer) WriteAnswer(requests[i].signature, status, outputs, writer.get());
    if (problem.empty()) continue;
    std::cout << separator << "{\"request\": " << i << ", \"problem\": " << Quoted(problem)
              << '}';
    separator = ", ";
  }
  std::cout << "], \"answered\": " << answered;
  if (writer) Must(writer->Close());
  if (file) Must(file->Close());
}

// ---- latency

// When each query is due, in seconds from the start: all at once, which makes clients
// ask one after the other, or as a Poisson process brings them.
std::vector<double> Schedule(int64_t queries, double rate, double seconds, uint64_t seed) {
  if (rate <= 0) return std::vector<double>(queries, 0.0);
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate);
  std::vector<double> due;
  for (double now = gap(random); now < seconds; now += gap(random)) due.push_back(now);
  return due;
}

void Measure(const SavedModelBundle& model, const std::vector<Request>& requests,
             const std::vector<double>& due, bool is_open, int clients, double patience,
             const std::string& path) {
  std::vector<double> latencies(due.size(), -1.0);
  std::atomic<size_t> next{0};
  std::atomic<int64_t> errors{0};
  const Clock::time_point start = Clock::now() + std::chrono::milliseconds(10);
  const auto client = [&] {
    for (size_t i = next++; i < due.size(); i = next++) {
      Clock::time_point begin = Clock::now();
      if (is_open) {
        begin = start + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(due[i]));
        std::this_thread::sleep_until(begin);
        if (Seconds(Clock::now() - start) > patience) return;  // the rest is abandoned
      }
      Named outputs;
      if (!Ask(model, requests[i % requests.size()], &outputs).ok()) ++errors;
      latencies[i] = Seconds(Clock::now() - begin);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < clients; ++i) threads.emplace_back(client);
  for (std::thread& thread : threads) thread.join();
  const double seconds = Seconds(Clock::now() - start);
  std::vector<double> sorted;
  for (const double latency : latencies)
    if (latency >= 0) sorted.push_back(latency);
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    if (sorted.empty()) return std::nan("");
    return sorted[std::min(sorted.size() - 1, static_cast<size_t>(q * sorted.size()))];
  };
  std::cout << ", \"latency\": {\"offered\": " << due.size()
            << ", \"answered\": " << sorted.size() - errors << ", \"errors\": " << errors
            << ", \"abandoned\": " << due.size() - sorted.size()
            << ", \"seconds\": " << Number(seconds) << ", \"p50\": " << Number(quantile(0.5))
            << ", \"p99\": " << Number(quantile(0.99))
            << ", \"max\": " << Number(quantile(1.0)) << '}';
  if (path.empty()) return;
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(latencies.data()),
             latencies.size() * sizeof(double));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> places;
  std::map<std::string, std::string> flags = {
      {"answers", ""}, {"threads", "1"}, {"clients", "1"}, {"queries", "0"}, {"rate", "0"},
      {"seconds", "10"}, {"seed", "0"}, {"patience", "5"}, {"latencies", ""}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      places.push_back(word);
    } else if (!flags.count(word.substr(2)) || i + 1 == argc) {
      Must(InvalidArgument("There is no flag ", word, ", or it has no value."));
    } else {
      flags[word.substr(2)] = argv[++i];
    }
  }
  if (places.size() != 2) Must(InvalidArgument("usage: run_saved_model MODEL REQUESTS"));

  tensorflow::SessionOptions options;
  options.config.set_intra_op_parallelism_threads(std::stoi(flags["threads"]));
  options.config.set_inter_op_parallelism_threads(std::stoi(flags["threads"]));
  SavedModelBundle model;
  const Clock::time_point start = Clock::now();
  Must(tensorflow::LoadSavedModel(options, {}, places[0], {"serve"}, &model));
  const double loaded = Seconds(Clock::now() - start);
  const std::vector<Request> requests = ReadRequests(places[1]);

  std::cout << '{';
  PrintSignatures(model);
  std::cout << ", \"load_seconds\": " << Number(loaded);
  Check(model, requests, flags["answers"]);
  const double rate = std::stod(flags["rate"]), seconds = std::stod(flags["seconds"]);
  const std::vector<double> due =
      Schedule(std::stoll(flags["queries"]), rate, seconds, std::stoull(flags["seed"]));
  if (!due.empty() && !requests.empty())
    Measure(model, requests, due, rate > 0, std::stoi(flags["clients"]),
            seconds + std::stod(flags["patience"]), flags["latencies"]);
  std::cout << "}\n";
  return 0;
}
