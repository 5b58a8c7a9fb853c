#include "train/model.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RNG_WEIGHTS = 0x77656967 /* "weig" */ };

static int32_t conv_3x3(struct net *n, const char *name, int32_t x, int32_t stride,
                        int32_t channels)
{
    struct window w = {{3, 3}, {stride, stride}, {1, 1}};
    return net_conv(n, name, x, &w, channels);
}

/* "layer1.0" and "conv1" to "layer1.0.conv1". */
static const char *join(char out[NET_NAME_BYTES], const char *block, const char *part)
{
    int len = snprintf(out, NET_NAME_BYTES, "%s.%s", block, part);
    assert(len > 0 && len < NET_NAME_BYTES);
    return out;
}

/* ResNet's basic block: two convolutions beside the identity, or beside a 1x1 convolution where the
 * shape changes. */
static int32_t residual_block(struct net *n, const char *name, int32_t x, int32_t stride,
                              int32_t channels)
{
    char full[NET_NAME_BYTES];
    int32_t y = conv_3x3(n, join(full, name, "conv1"), x, stride, channels), beside = x;
    y = net_bn(n, join(full, name, "bn1"), y, true);
    y = conv_3x3(n, join(full, name, "conv2"), y, 1, channels);
    y = net_bn(n, join(full, name, "bn2"), y, false);
    if (stride != 1 || net_shape(n, x).c != channels) {
        struct window w = {{1, 1}, {stride, stride}, {0, 0}};
        beside = net_conv(n, join(full, name, "downsample.0"), x, &w, channels);
        beside = net_bn(n, join(full, name, "downsample.1"), beside, false);
    }
    return net_add_relu(n, y, beside);
}

/* A network is a list of parts, each a function of the tensor before it. */
struct part {
    const char *name;
    int32_t (*declare)(struct net *n, const struct part *part, int32_t x);
    int32_t stride, channels;
};

static int32_t cnn_stem(struct net *n, const struct part *part, int32_t x)
{
    struct window stem = {{7, 5}, {4, 2}, {3, 2}};
    x = net_conv(n, "conv1", x, &stem, part->channels);
    return net_bn(n, "bn1", x, true);
}

static int32_t cnn_stage(struct net *n, const struct part *part, int32_t x)
{
    char full[NET_NAME_BYTES];
    x = conv_3x3(n, join(full, part->name, "down.conv"), x, part->stride, part->channels);
    x = net_bn(n, join(full, part->name, "down.bn"), x, true);
    return residual_block(n, join(full, part->name, "0"), x, 1, part->channels);
}

static int32_t cnn_bands(struct net *n, const struct part *part, int32_t x)
{
    struct window all_bands = {{1, net_shape(n, x).w}, {1, 1}, {0, 0}};
    x = net_conv(n, "bands.conv", x, &all_bands, part->channels);
    return net_bn(n, "bands.bn", x, true);
}

static int32_t resnet_stem(struct net *n, const struct part *part, int32_t x)
{
    struct window stem = {{7, 7}, {2, 2}, {3, 3}}, pool = {{3, 3}, {2, 2}, {1, 1}};
    x = net_conv(n, "conv1", x, &stem, part->channels);
    x = net_bn(n, "bn1", x, true);
    return net_maxpool(n, x, &pool);
}

static int32_t resnet_layer(struct net *n, const struct part *part, int32_t x)
{
    char block[NET_NAME_BYTES];
    x = residual_block(n, join(block, part->name, "0"), x, part->stride, part->channels);
    return residual_block(n, join(block, part->name, "1"), x, 1, part->channels);
}

static const struct part cnn_parts[] = {
    {"conv1", cnn_stem, 0, 16},    {"layer1", cnn_stage, 2, 32}, {"layer2", cnn_stage, 2, 64},
    {"layer3", cnn_stage, 2, 128}, {"bands", cnn_bands, 0, 128},
};
static const struct part resnet18_parts[] = {
    {"conv1", resnet_stem, 0, 64},    {"layer1", resnet_layer, 1, 64},
    {"layer2", resnet_layer, 2, 128}, {"layer3", resnet_layer, 2, 256},
    {"layer4", resnet_layer, 2, 512},
};

static const struct {
    const char *name;
    const struct part *parts; /* fc follows */
    size_t n_parts;
    const char *part_names;
} models[] = {{"cnn", cnn_parts, ARRAY_LEN(cnn_parts), "conv1, layer1, layer2, layer3, bands, fc"},
              {"resnet18", resnet18_parts, ARRAY_LEN(resnet18_parts),
               "conv1, layer1, layer2, layer3, layer4, fc"}};

/* "all", "layer4" and "layer4+" begin to train at layer4. */
static bool trains_from(const char *unfreeze, const char *part)
{
    size_t len = strlen(part);
    return strcmp(unfreeze, "all") == 0 ||
           (strncmp(unfreeze, part, len) == 0 &&
            (unfreeze[len] == '\0' || strcmp(unfreeze + len, "+") == 0));
}

/* Pooled features to the embedding. */
static int32_t head(struct net *n, double dropout, int32_t x)
{
    x = net_global_average(n, x);
    if (dropout > 0.0)
        x = net_dropout(n, x, dropout);
    x = net_linear(n, "fc", x, EMBEDDING_DIM);
    return net_l2norm(n, x);
}

static bool build(struct net *n, const struct model_spec *spec, struct shape input,
                  bool only_trained, struct err *e)
{
    size_t m = 0;
    while (m < ARRAY_LEN(models) && strcmp(spec->name, models[m].name) != 0)
        m++;
    if (m == ARRAY_LEN(models))
        return err_set(e, ERR_USAGE, "there is no model \"%s\": known are cnn and resnet18",
                       spec->name);
    int32_t x = net_input(n, input);
    bool is_trained = false;
    for (size_t i = 0; i < models[m].n_parts; i++) {
        const struct part *part = &models[m].parts[i];
        is_trained = is_trained || trains_from(spec->unfreeze, part->name);
        net_freeze(n, !is_trained);
        if (is_trained || !only_trained)
            x = part->declare(n, part, x);
    }
    if (!is_trained && !trains_from(spec->unfreeze, "fc"))
        return err_set(e, ERR_USAGE, "%s cannot be unfrozen from \"%s\": all, or one of %s",
                       spec->name, spec->unfreeze, models[m].part_names);
    net_freeze(n, false);
    return net_finish(n, head(n, spec->dropout, x), false, e);
}

bool model_build(struct net *n, const struct model_spec *spec, int32_t n_pictures, struct err *e)
{
    if (spec->n_frames < MODEL_SIDE_MIN || spec->n_mels < MODEL_SIDE_MIN)
        return err_set(e, ERR_USAGE, "pictures of %d frames by %d mels are too small: %d needed",
                       spec->n_frames, spec->n_mels, MODEL_SIDE_MIN);
    return build(n, spec, (struct shape){n_pictures, spec->n_frames, spec->n_mels, 1}, false, e);
}

bool model_build_head(struct net *n, const struct model_spec *spec, struct shape cut, struct err *e)
{
    return build(n, spec, cut, true, e);
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static void init_tensor(const struct param *p, const struct param *weight, float *value,
                        uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, RNG_WEIGHTS, hash64(p->name, strlen(p->name), 0));
    if (p->n_dims == 4) {
        double sigma = sqrt(2.0 / ((double)p->dims[0] * p->dims[2] * p->dims[3]));
        for (size_t i = 0; i < p->count; i++)
            value[i] = (float)(sigma * rng_normal(&r));
    } else if (weight->n_dims == 2) {
        double bound = 1.0 / sqrt((double)weight->dims[1]);
        for (size_t i = 0; i < p->count; i++)
            value[i] = (float)rng_range(&r, -bound, bound);
    } else {
        bool is_one = ends_with(p->name, ".weight") || ends_with(p->name, ".running_var");
        for (size_t i = 0; i < p->count; i++)
            value[i] = is_one ? 1.0f : 0.0f;
    }
}

void model_init(struct params *p, uint64_t seed)
{
    const struct param *weight = NULL; /* of the layer: always declared first */
    for (size_t i = 0; i < p->n; i++) {
        if (ends_with(p->items[i].name, ".weight"))
            weight = &p->items[i];
        assert(weight != NULL);
        init_tensor(&p->items[i], weight, p->value + p->items[i].offset, seed);
    }
}
