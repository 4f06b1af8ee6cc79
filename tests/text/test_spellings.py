"""A must-have is found in a text however either is written, and only there: by kinds of spelling."""

import pytest

from matching_service.ranking.topics import prepare_topics
from matching_service.text.terms import count_terms, default_analyzer, find_terms

HANDED = [
    ("CJK radicals supplement", "风力发电", "⻛⼒发电机组变桨轴承", True),
    ("regional variants", "卫星", "衞星通訊天線", True),
    ("regional variants", "焊接", "電銲與銲接工藝", True),
    ("regional variants", "枪钻", "鎗鑽加工", True),
    ("regional variants", "着色探伤", "著色探傷", True),
    ("Taiwan words", "激光", "雷射加工", True),
    ("Taiwan words", "纳米", "奈米碳管", True),
    ("line break within a word", "谐波减速器", "谐波减\n速器柔轮", True),
    ("blanks within a word", "谐波减速器", "谐 波 减 速 器", True),
    ("symbols are part of a name", "C++", "用C语言编写单片机程序", False),
    ("symbols are part of a name", "C++", "用C#编写上位机界面", False),
    ("symbols are part of a name", ".NET", "net渔网编织", False),
    ("number part of a joined run", "7075", "7075-T6铝合金热处理", True),
    ("number part of a joined run", "304不锈钢", "304/316L不锈钢起皱", True),
    ("number part of a joined run", "IP67", "IP65/67防护", True),
    ("letters joined to a number", "304不锈钢", "SUS304不锈钢薄板", True),
    ("letters joined to a number", "6061", "AL6061型材", True),
    ("sign", "-40℃", "40℃恒温箱标定", False),
    ("range", "-40℃", "温度-40~85℃", True),
    ("blank as thousands separator", "3000 r/min", "电机转速 3 000 r/min", True),
    ("blank as thousands separator", "0 r/min", "电机转速 3 000 r/min", False),
    ("enumeration read as one number", "300 rpm", "档位100,200,300 rpm三档", True),
    ("unit", "10000小时", "疲劳寿命10000h", True),
    ("unit", "3000转/分钟", "转速3000r/min", True),
    ("万", "1.5万吨", "年处理15000吨废铝", True),
    ("unit", "500kWh", "能耗500 kW·h", True),
    ("Chinese numeral", "五轴加工", "5轴加工中心", True),
    ("connector in a listed word", "Micro LED", "MicroLED巨量转移", True),
    ("connector in a listed word", "GC-MS", "GC/MS检测风味物质", True),
]
OWN = [
    ("radicals", "车床", "⻋床加工", True),
    ("radicals", "长寿命", "⻓寿命轴承", True),
    ("radicals", "阀门", "阀⻔密封", True),
    ("radicals", "鱼糜", "⻥糜加工", True),
    ("radicals", "颜料", "颜料⻚", True),
    ("radicals", "齿轮", "⻮轮磨削", True),
    ("variants", "烟气脱硝", "菸氣脫硝", True),
    ("variants", "铁路", "鐡路扣件", True),
    ("variants", "矿山", "鑛山機械", True),
    ("variants", "强度", "強度分析", True),
    ("variants", "粘度", "液体黏度测量", True),
    ("variants", "内衬", "內襯材料", True),
    ("variants", "防爆灯", "防爆燈具", True),
    ("taiwan", "软件", "工業軟體開發", True),
    ("taiwan", "传感器", "壓力感測器", True),
    ("taiwan", "集成电路", "積體電路封裝", True),
    ("taiwan", "信号", "訊號處理", True),
    ("taiwan", "塑料", "工程塑膠改質", True),
    ("taiwan", "算法", "演算法最佳化", True),
    ("taiwan", "氨基酸", "胺基酸發酵", True),
    ("taiwan", "晶体管", "電晶體製程", True),
    ("taiwan", "伺服电机", "伺服馬達選型", True),
    ("taiwan-not", "激光", "防雷射频电缆", False),
    ("taiwan-not", "软件", "软体机器人抓手", False),
    ("taiwan-not", "网络", "联网路由器", False),
    ("taiwan-not", "内存", "记忆体系", False),
    ("break", "不锈钢", "不锈\n钢薄板起皱", True),
    ("break", "机器视觉", "机器视\r\n觉检测", True),
    ("break", "热处理", "热\u3000处\u3000理 工艺", True),
    ("break", "铝合金", "铝 合 金 压 铸", True),
    ("break", "传感器", "传\t感器标定", True),
    ("blank", "OLED", "O LED", False),
    ("listed", "Low-E玻璃", "Low E玻璃镀膜", True),
    ("listed", "LC-MS", "LCMS联用", True),
    ("listed", "DC-DC", "DC/DC变换器", True),
    ("listed", "DC/DC", "dc-dc电源", True),
    ("listed", "Micro-LED", "micro LED显示", True),
    ("html", "导热硅脂", "<p>导热<b>硅脂</b></p>", True),
    ("html", "密封圈", "耐高温&nbsp;密封圈", True),
    ("html", "p", "<p>泵</p>", False),
    ("html", "nbsp", "水&nbsp;泵", False),
    ("symbols", "C#", "C++上位机", False),
    ("symbols", "C++", "使用C++和Python", True),
    ("symbols", "C#", "C#上位机开发", True),
    ("symbols", ".NET", "ASP.NET网站", True),
    ("symbols", ".NET", "net profit", False),
    ("symbols", "Q235", "Q235B钢板", True),
    ("symbols", "Q235B", "Q235钢板", False),
    ("symbols", "45#钢", "45#钢调质", True),
    ("joined", "6063", "6063-T5型材", True),
    ("joined", "316L", "304/316L", True),
    ("joined", "316", "SUS316L管件", True),
    ("joined", "2205", "S2205双相钢", True),
    ("joined", "IP68", "IP67/68", True),
    ("joined", "GB/T 19001", "通过GB/T19001-2016认证", True),
    ("joined", "ISO 9001", "ISO9001:2015体系", True),
    ("joined", "RS485", "RS-485通信", True),
    ("joined", "5052", "6061-T6", False),
    ("joined", "7075", "AA7075-T651", True),
    ("quantity", "-20℃", "耐低温−20℃", True),
    ("quantity", "60℃", "-20～60℃", True),
    ("quantity", "-60℃", "-20~60℃", False),
    ("quantity", "零下30℃", "-30℃冷库", True),
    ("quantity", "200rpm", "100,200,300 rpm", True),
    ("quantity", "1200 rpm", "1,200 rpm", True),
    ("quantity", "12000小时", "寿命12 000 h", True),
    ("quantity", "5kWh", "5千瓦时储能", True),
    ("quantity", "5kWh", "5 kW·h", True),
    ("quantity", "90000kWh", "年耗电约9万度", True),
    ("quantity", "3万吨", "30000吨/年产能", True),
    ("quantity", "0.5mm", "500μm", True),
    ("quantity", "500um", "0.5毫米", True),
    ("quantity", "65dB(A)", "噪声≤65dBA", True),
    ("quantity", "10mm", "5~10mm", True),
    ("quantity", "380V", "220/380V", True),
    ("quantity", "2h", "120分钟", True),
    ("quantity", "1500转/分", "1500 r/min", True),
    ("quantity", "20MPa", "200bar", True),
    ("quantity", "5%", "-5%", False),
    ("numeral", "三相", "3相异步电机", True),
    ("numeral", "六自由度", "6自由度机械臂", True),
    ("numeral", "四缸", "4缸发动机", True),
    ("numeral", "3", "三水区", False),
    ("numeral", "5", "五金制品", False),
    ("numeral", "6轴机器人", "六轴机器人", True),
]


def is_named(topic: str, text: str) -> bool:
    """Whether the words of the text prove the topic."""
    (prepared,) = prepare_topics([topic], default_analyzer(), frozenset())
    terms = count_terms(text)
    return any(all(term in terms for term in alternative) for alternative in prepared.alternatives)


@pytest.mark.parametrize(("kind", "topic", "text", "is_met"), [*HANDED, *OWN])
def test_a_topic_is_found_however_it_is_written(kind: str, topic: str, text: str, *, is_met: bool) -> None:
    assert is_named(topic, text) == is_met, kind


@pytest.mark.parametrize(
    ("text", "term", "place"),
    [
        ("谐波减\n速器柔轮", "≈谐波减速器", "谐波减\n速器"),
        ("耐高温&nbsp;密封圈", "密封圈", "密封圈"),
        ("粒径5&micro;m以下", "=5e-06m", "5&micro;m"),
        ("<p>导热<b>硅脂</b></p>", "≈导热硅脂", "导热<b>硅脂"),
        ("⻛⼒发电机组", "发电机组", "发电机组"),
        ("工業軟體開發", "软件", "軟體"),
        ("温度-40~85℃", "=-40°c", "-40"),
        ("采用5轴联动", "≈五轴联动", "5轴联动"),
        ("IP65/67防护", "ip67", "67"),
        ("SUS304不锈钢", "304", "304"),
    ],
)
def test_a_term_is_highlighted_where_the_stored_text_has_it(text: str, term: str, place: str) -> None:
    places = [text[o.start : o.end] for o in find_terms(text) if o.term == term]
    assert place in places, [o.term for o in find_terms(text)]
