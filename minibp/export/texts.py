"""The words of a report in English and Chinese."""

from __future__ import annotations

from ..errors import UnknownNameError

LANGUAGES = ("en", "zh")

# Labels of facts, which callers give in English; others are shown as they are.
LABELS = {
    "data set": "数据集",
    "test samples": "测试样本",
    "model": "模型",
    "loss": "损失函数",
    "optimizer": "优化器",
    "learning rate": "学习率",
    "weight decay": "权重衰减",
    "batch size": "批大小",
    "epochs": "训练轮数",
    "seed": "随机种子",
    "file": "模型文件",
    "time of training": "训练用时",
    "parameters": "参数",
    "versions": "软件版本",
    "machine": "运行环境",
    "report made on": "报告日期",
}

TEXTS = {
    # the start
    "html": ("en", "zh-CN"),
    "title": ("A trained network", "训练好的神经网络"),
    "kind": ("minibp report", "minibp 训练报告"),
    "accuracy": ("accuracy", "准确率"),
    "wrong": ("{:,} of {:,} wrong", "{1:,} 个样本中错 {0:,} 个"),
    "loss": ("mean loss", "平均损失"),
    "ece": ("calibration error", "校准误差"),
    "error": ("mean absolute error", "平均绝对误差"),
    "r2": ("R²", "R²"),
    "count": ("parameters", "参数个数"),
    "weighted": (
        "The samples of the test set have weights. Accuracy and loss at the top are weighted means; everything else on "
        "this page counts each sample once.",
        "测试集的样本带有权重。页首的准确率和损失是加权平均值；本页其余部分中，每个样本都只计一次。",
    ),
    # what was trained
    "trained": ("What was trained", "训练了什么"),
    "layer": ("layer", "层"),
    "output": ("output", "输出"),
    "frozen": ("frozen", "已冻结"),
    "trained_how": (
        "The network from its input to its output. Versions and machine are those that made this report.",
        "网络从输入到输出的各层。软件版本和运行环境是生成本报告时的。",
    ),
    # curves
    "curves": ("How it learned", "学习过程"),
    "curves_how": (
        "The training loss is the mean over an epoch, taken while the weights change. Validation follows after each "
        "epoch, on samples that are not trained on. If the training loss goes on falling while the validation loss "
        "rises, the network has begun to learn its samples by heart.",
        "训练损失是一轮之内的平均值，期间权重一直在变；验证在每轮结束后进行，所用样本不参与训练。"
        "如果训练损失继续下降而验证损失开始上升，说明网络已经开始死记训练样本，也就是过拟合。",
    ),
    "curves_best": (
        "The dotted line marks the best epoch, and so do bold numbers in the table. ",
        "虚线标出最好的一轮，表中以粗体表示。",
    ),
    "curves_match": (
        "The network of this report has the validation loss of epoch {}.",
        "本报告中的网络，其损失与第 {} 轮的验证损失一致。",
    ),
    "curves_other": (
        "No epoch has the validation loss that this network has on the test set: validation used other data, or the "
        "history is that of another training.",
        "没有任何一轮的验证损失等于该网络在测试集上的损失：要么验证用的是别的数据，要么这份记录属于另一次训练。",
    ),
    "no_history": (
        "The history of the training is not known, so there are no curves. A saved network does not contain it; give "
        "the log of the training to see them.",
        "训练记录未知，因此没有曲线。保存的网络文件里不含训练记录；提供训练日志即可画出曲线。",
    ),
    "epoch": ("epoch", "轮"),
    "best": ("best: epoch {}", "最好：第 {} 轮"),
    "training": ("training", "训练"),
    "validation": ("validation", "验证"),
    "training_loss": ("training loss", "训练损失"),
    "validation_loss": ("validation loss", "验证损失"),
    "validation_accuracy": ("validation accuracy", "验证准确率"),
    "seconds": ("seconds", "秒"),
    "probability": ("probability", "概率"),
    "epoch_table": ("All {} epochs in numbers", "全部 {} 轮的数值"),
    # confusion
    "confusion": ("What is taken for what", "混淆矩阵"),
    "confusion_how": (
        "A row is a true class, a column the network’s answer; a cell counts samples. Right answers lie on the "
        "diagonal. The deeper the colour, the larger the share of the row.",
        "每一行是一个真实类别，每一列是网络的回答，格子里是样本数。对角线上是答对的；颜色越深，占该行的比例越大。",
    ),
    "confusion_large": (
        "With {} classes the whole matrix would be too large to read. Here are the confusions that occur most often.",
        "共有 {} 个类别，完整的混淆矩阵大得没法看。下面列出最常见的混淆。",
    ),
    "true": ("true", "真实"),
    "answer": ("answer", "回答"),
    "true_class": ("true class", "真实类别"),
    "times": ("times", "次数"),
    "samples": ("samples", "样本数"),
    "right": ("right", "答对"),
    "recall": ("recall", "召回率"),
    "precision": ("precision", "精确率"),
    "per_class": ("Recall and precision of each class", "各类别的召回率和精确率"),
    "per_class_how": (
        "Recall: how much of a class is found. Precision: how often this answer is right.",
        "召回率：该类样本中被认出的比例。精确率：给出这个回答时答对的比例。",
    ),
    "confused": ("The most frequent confusions", "最常见的混淆"),
    # mistakes
    "mistakes": ("The most confident mistakes", "错得最自信的样本"),
    "mistakes_how": (
        "The wrong answers, the most confident first. Look for wrong labels, for samples that you could not tell "
        "either, and for kinds that the training set lacks. Shown: {} of {}.",
        "答错的样本，最自信的排在最前。可以看看：标签是否标错，人能否认得出来，训练集是否缺少这类样本。"
        "显示 {1} 个中的 {0} 个。",
    ),
    "no_mistakes": ("All {} samples are answered right.", "全部 {} 个样本都答对了。"),
    "sample": ("sample", "样本"),
    "sample_number": ("sample {}", "样本 {}"),
    "some_columns": ("The first {} of {} inputs are shown.", "只显示 {1} 个输入中的前 {0} 个。"),
    # calibration
    "calibration": ("How far its confidence can be trusted", "置信度有多可信"),
    "calibration_how": (
        "The confidence of an answer is its probability. Each bar collects the answers of similar confidence; its "
        "height is the share of them that is right. On the diagonal, both agree. Bars below it: the network is too "
        "sure of itself; above it: not sure enough. Small bars count how many answers there are.",
        "一个回答的置信度就是它的概率。每根柱子汇集置信度相近的回答，高度是其中答对的比例。"
        "柱顶落在对角线上，说明两者一致；低于对角线是过于自信，高于对角线是不够自信。下方的小柱表示各区间的回答数。",
    ),
    "calibration_ece": (
        "On average the network claims {}, and {} are right. The expected calibration error is {}: the mean distance "
        "of bar and confidence, weighted by the number of answers, in {} bins of equal width (Guo et al., 2017).",
        "平均而言，网络自称有 {} 的把握，实际答对 {}。期望校准误差为 {}：柱高与置信度之差的平均值，按回答数加权，"
        "共 {} 个等宽区间（Guo et al., 2017）。",
    ),
    "no_calibration": (
        "The outputs of this network are not probabilities, so there is no confidence to compare with the accuracy.",
        "该网络的输出不是概率，因此没有可以与准确率比较的置信度。",
    ),
    "confidence": ("confidence", "置信度"),
    "share_right": ("share that is right", "答对的比例"),
    "answers": ("answers", "回答数"),
    "bin": ("bin", "区间"),
    "bin_table": ("The bins in numbers", "各区间的数值"),
    # weights
    "weights": ("What the first layer looks at", "第一层在看什么"),
    "weights_how": (
        "Each picture is a unit of the first layer, each pixel the weight of that pixel of the input: red adds to the "
        "unit, blue takes away, white has no effect. All share one scale, up to ±{}. Patterns have been learned; "
        "noise may be what is left of the initial weights. Shown: {} of {}.",
        "每幅小图是第一层的一个单元，每个像素是输入中对应像素的权重：红色为正，蓝色为负，白色不起作用。"
        "所有小图用同一色标，最大为 ±{0}。清晰的图案是学到的；像噪声的部分可能是初始权重留下的。"
        "显示 {2} 个中的 {1} 个。",
    ),
    "weights_picture": ("weights of unit {}", "单元 {} 的权重"),
    "unit": ("unit", "单元"),
    "smallest": ("smallest", "最小"),
    "largest": ("largest", "最大"),
    "rms": ("RMS", "均方根"),
    "weights_table": ("The weights of these units in numbers", "这些单元权重的数值"),
    # numbers
    "residuals": ("How far the numbers are off", "数值偏差有多大"),
    "residuals_how": (
        "In the first picture each dot is a sample, and on the diagonal the prediction is right. The second counts the "
        "residuals, prediction minus target. They should be small, centred on 0, and of the same size everywhere along "
        "the diagonal.",
        "第一幅图中，每个点是一个样本，落在对角线上就是预测准确。第二幅图是残差（预测值减目标值）的分布。"
        "残差应当小，以 0 为中心，而且沿对角线各处大小相当。",
    ),
    "residuals_some": ("{} of {} dots are drawn.", "图中画出 {1} 个点中的 {0} 个。"),
    "residuals_pooled": ("The dots of all {} outputs are in one picture.", "{} 个输出的点画在同一张图中。"),
    "target": ("target", "目标值"),
    "prediction": ("prediction", "预测值"),
    "residual": ("residual", "残差"),
    "mse": ("mean squared error", "均方误差"),
    "output_table": ("Errors of each output", "各输出的误差"),
    "some_outputs": ("The first {} of {} outputs are listed.", "只列出 {1} 个输出中的前 {0} 个。"),
    "quantile_table": ("The residuals in numbers", "残差的分位数"),
    "quantile": ("share below", "低于此值的比例"),
    "worst": ("The worst predictions", "偏差最大的样本"),
    "worst_how": (
        "The samples with the largest errors, the largest first. Look for wrong targets, and for samples unlike those "
        "of the training set.",
        "误差最大的样本，从大到小。可以看看：目标值是否有误，样本是否与训练集差别很大。",
    ),
    "rms_error": ("RMS error", "均方根误差"),
    # the end
    "end": (
        "Made by minibp {}. This page is one file: it runs no script and loads nothing.",
        "由 minibp {} 生成。本页只有一个文件：不运行脚本，也不加载任何内容。",
    ),
}


def texts(language: str) -> dict[str, str]:
    """All texts in this language. An UnknownNameError if there are none."""
    if language not in LANGUAGES:
        raise UnknownNameError("language", language, LANGUAGES)
    place = LANGUAGES.index(language)
    return {key: both[place] for key, both in TEXTS.items()}


def label(name: str, language: str) -> str:
    """The label of a fact in this language; as it is, if it is not one of minibp's."""
    return LABELS.get(name, name) if language == "zh" else name
