"""MoE-Adapter (arXiv 2601.02967): does a routed adapter let one audio LLM hear speech, music and sound?

The verbs are in the files of their names: `data.prepare`, `train.train`, `evaluate.evaluate`, `infer.load`,
`infer.infer`. From outside, ``auricle.load(folder)`` and ``auricle.systems.system("moe_adapter")`` find them.
"""

from auricle.core.names import More, Spec, Take

SPEC = Spec(
    name="moe_adapter",
    line="asks one audio language model about speech, music and sound; routed experts beside a dense adapter",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="accuracy",
    task="questions",
    takes=(Take("audio"), Take("text")),
    more=(More("options", list, "the options of the question, as a JSON list of texts"),),
    titles={
        "accuracy": "accuracy by the options' likelihood",
        "letter_accuracy": "accuracy by the letter",
        "pmi_accuracy": "accuracy by likelihood less that without audio",
        "gain_over_dense": "routed less dense",
        "letter_gain_over_dense": "routed less dense, by the letter",
        "lead_over_question_only": "lead over the question alone",
        "lead_over_wrong_audio": "lead over another clip",
        "audio_minus_text": "modality gap, audio less text",
        "gradient_cosine": "cosine of mean gradients",
        "expert_information": "mutual information of domain and expert",
        "question_only": "question without its clip",
        "wrong_audio": "another clip",
        "text": "the same question as text",
        "halves": "halves of one domain",
        "shuffled": "shuffled domains",
        "permutation": "permuted domains",
        "dense": "dense adapter of as many weights",
    },
    items="questions",
)
